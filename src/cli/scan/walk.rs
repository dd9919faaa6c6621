//! Searching files, folders and stdin.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::File,
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use clap::Args;
use ignore::{DirEntry, WalkBuilder, WalkState};

use super::{super::failure::Failure, place::Place, report::Report, stream::Stream};

/// What of folders is searched.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Search what ignore files exclude, too.
    #[arg(long)]
    no_ignore: bool,
    /// Leave hidden files and folders out.
    #[arg(long, overrides_with = "hidden")]
    no_hidden: bool,
    /// Search hidden files and folders, which is the default.
    #[arg(long)]
    hidden: bool,
}

/// The files that were read, by device and number.
type Seen = Mutex<HashSet<(u64, u64)>>;

impl Walk {
    /// Searches all that `paths` name.
    ///
    /// # Errors
    /// Nobody reads the output.
    pub(super) fn search(self, paths: &[PathBuf], report: &Report) -> Result<(), Failure> {
        let is_stdin = |path: &&PathBuf| path.as_os_str() == "-";
        if paths.iter().any(|path| is_stdin(&path)) {
            report.begin_file();
            let stdin = io::stdin().lock();
            search_one(&mut Stream::new(), stdin, b"<stdin>", report)?;
        }
        let mut paths = paths.iter().filter(|path| !is_stdin(path));
        let Some(first) = paths.next() else {
            return Ok(());
        };
        let mut walk = WalkBuilder::new(first);
        for path in paths {
            walk.add(path);
        }
        walk.standard_filters(!self.no_ignore)
            .hidden(self.no_hidden)
            .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != OsStr::new(".git"));
        let (seen, stopped) = (Seen::default(), Mutex::new(None));
        walk.build_parallel().run(|| {
            let mut stream = Stream::new();
            let (seen, stopped) = (&seen, &stopped);
            Box::new(
                move |entry| match search_entry(&mut stream, entry, seen, report) {
                    Ok(()) => WalkState::Continue,
                    Err(error) => {
                        *stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        WalkState::Quit
                    }
                },
            )
        });
        let stopped = stopped.into_inner().unwrap_or_else(PoisonError::into_inner);
        stopped.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Searches a file that the walk came by. The error is that of the output.
fn search_entry(
    stream: &mut Stream,
    entry: Result<DirEntry, ignore::Error>,
    seen: &Seen,
    report: &Report,
) -> io::Result<()> {
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => {
            report_unreadable(&error, report);
            return Ok(());
        }
    };
    // What was named is read whatever it is, such as the pipe of `<(command)`.
    let named = entry.depth() == 0 && !entry.path().is_dir();
    if !named && !entry.file_type().is_some_and(|kind| kind.is_file()) {
        return Ok(());
    }
    let name = entry.path().as_os_str().as_bytes();
    match open_once(entry.path(), seen) {
        Ok(Some(file)) => {
            report.begin_file();
            search_one(stream, file, name, report)
        }
        Ok(None) => Ok(()),
        Err(error) => {
            report.unreadable(name, error);
            Ok(())
        }
    }
}

/// The file, unless it was opened before under another name.
fn open_once(path: &Path, seen: &Seen) -> io::Result<Option<File>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(seen
        .insert((metadata.dev(), metadata.ino()))
        .then_some(file))
}

/// Searches what `source` holds. The error is that of the output.
fn search_one(
    stream: &mut Stream,
    source: impl io::Read,
    name: &[u8],
    report: &Report,
) -> io::Result<()> {
    let place = Place::file(name);
    let mut printed = Ok(());
    let read = stream.search(
        source,
        |bytes| report.read(bytes),
        |spot, token| {
            if printed.is_ok() {
                printed = report.found(&place, spot, &token);
            }
        },
    );
    if let Err(error) = read {
        report.unreadable(name, error);
    }
    printed
}

/// Tells of a folder or file that the walk could not come by; the error names it.
fn report_unreadable(error: &ignore::Error, report: &Report) {
    let (mut path, mut cause) = (None, error);
    loop {
        cause = match cause {
            ignore::Error::WithPath { path: of, err } => {
                path = Some(of);
                err
            }
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => err,
            _ => break,
        };
    }
    let name = path.map_or(&b"a file"[..], |path| path.as_os_str().as_bytes());
    // The operating system's own words, without the path, which may hold a token.
    match cause.io_error() {
        Some(error) => report.unreadable(name, error),
        None => report.unreadable(name, "the walk cannot go there"),
    }
}
