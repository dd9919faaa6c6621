//! Searches files, folders and stdin.

use std::{
    collections::HashSet,
    fs::File,
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::Args;
use ignore::{
    DirEntry, WalkBuilder, WalkState,
    overrides::{Override, OverrideBuilder},
};
use rustix::fs::OFlags;

use super::{
    super::failure::Failure,
    content::{Content, Event},
    finding::{Finding, Source, printable},
    report::Report,
};

/// Which files of folders are searched.
#[derive(Args, Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct Walk {
    /// Exclude files that match this pattern, as in .gitignore. May be repeated.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Exclude what the folders' .gitignore, .ignore and Git's other ignore files exclude. Anyone who may write to a
    /// folder can hide a token this way; the number of excluded files is reported.
    #[arg(long, overrides_with = "no_ignore")]
    use_ignore_files: bool,
    /// Search what ignore files exclude, too (the default).
    #[arg(long)]
    no_ignore: bool,
    /// Exclude hidden files and folders.
    #[arg(long, overrides_with = "hidden")]
    no_hidden: bool,
    /// Search hidden files and folders, too (the default).
    #[arg(long)]
    hidden: bool,
}

/// The files already read, by device and inode.
type Seen = Mutex<HashSet<(u64, u64)>>;

impl Walk {
    /// Searches `paths`. Fails if the output cannot be written or a pattern is malformed.
    pub(super) fn search(&self, paths: &[PathBuf], report: &Report) -> Result<(), Failure> {
        let exclude = self.exclude()?;
        let is_stdin = |path: &&PathBuf| path.as_os_str() == "-";
        if paths.iter().any(|path| is_stdin(&path)) {
            report.begin_file();
            let stdin = io::stdin().lock();
            search_one(&mut Content::new(), stdin, b"<stdin>", report)?;
        }
        let mut paths = paths.iter().filter(|path| !is_stdin(path));
        let Some(first) = paths.next() else {
            return Ok(());
        };
        let mut walk = WalkBuilder::new(first);
        for path in paths {
            walk.add(path);
        }
        walk.standard_filters(false);
        if self.use_ignore_files || self.no_hidden || !self.exclude.is_empty() {
            // The summary must show how much "nothing found" covers.
            report.excluding(count(&walk));
        }
        walk.standard_filters(self.use_ignore_files)
            .hidden(self.no_hidden)
            .overrides(exclude);
        let (seen, stopped) = (Seen::default(), Mutex::new(None));
        walk.build_parallel().run(|| {
            let mut content = Content::new();
            let (seen, stopped) = (&seen, &stopped);
            Box::new(
                move |entry| match search_entry(&mut content, entry, seen, report) {
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

    fn exclude(&self) -> Result<Override, Failure> {
        let refused = |error: ignore::Error| Failure::usage(format!("--exclude: {error}"));
        let mut exclude = OverrideBuilder::new(".");
        for glob in &self.exclude {
            // Without the `!`, an override includes only what matches.
            exclude.add(&format!("!{glob}")).map_err(refused)?;
        }
        exclude.build().map_err(refused)
    }
}

/// Counts the files.
fn count(walk: &WalkBuilder) -> u64 {
    let files = AtomicU64::new(0);
    walk.build_parallel().run(|| {
        Box::new(|entry| {
            if entry.is_ok_and(|entry| is_searched(&entry)) {
                files.fetch_add(1, Ordering::Relaxed);
            }
            WalkState::Continue
        })
    });
    files.into_inner()
}

/// Whether it is a file. A given path is always read, even if it is a pipe, such as of `<(command)`.
fn is_searched(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_file()) || is_given(entry)
}

fn is_given(entry: &DirEntry) -> bool {
    entry.depth() == 0 && !entry.path().is_dir()
}

/// Searches an entry of the walk. Fails if the output cannot be written.
fn search_entry(
    content: &mut Content,
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
    if !is_searched(&entry) {
        return Ok(());
    }
    let name = entry.path().as_os_str().as_bytes();
    match open_once(entry.path(), is_given(&entry), seen) {
        Ok(Some(file)) => {
            report.begin_file();
            search_one(content, file, name, report)
        }
        Ok(None) => Ok(()),
        Err(error) => {
            report.unreadable(printable(name), error);
            Ok(())
        }
    }
}

/// Opens a file, unless it was opened before under another name. A file that was not given as a path may have become a
/// pipe or a symbolic link since it was listed: it does not wait for the one or follow the other.
fn open_once(path: &Path, given: bool, seen: &Seen) -> io::Result<Option<File>> {
    let mut options = File::options();
    options.read(true);
    if !given {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        options.custom_flags(flags.cast_signed());
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !given && !metadata.is_file() {
        return Ok(None);
    }
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(seen
        .insert((metadata.dev(), metadata.ino()))
        .then_some(file))
}

/// Searches what `reader` returns. Fails if the output cannot be written.
fn search_one(
    content: &mut Content,
    reader: impl io::Read,
    name: &[u8],
    report: &Report,
) -> io::Result<()> {
    let name = printable(name);
    let mut printed = Ok(());
    let mut on_event = |members: &[String], event| {
        let source = Source::file(name.clone(), members);
        match event {
            Event::Found(location, encoding, token) => {
                if report.found(&token) && printed.is_ok() {
                    printed = report.print(&source, &Finding::new(location, encoding, &token));
                }
            }
            Event::Unreadable(problem) => {
                report.unreadable(source.path.unwrap_or_default(), problem);
            }
            Event::NotUnpacked => report.not_unpacked(),
        }
    };
    let read = content.search(reader, |bytes| report.read(bytes), &mut on_event);
    if let Err(error) = read {
        report.unreadable(name, error);
    }
    printed
}

/// Reports a folder or file that the walk could not read. The error names it.
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
    let name = printable(name);
    // The system's message alone: the path may hold a token.
    match cause.io_error() {
        Some(error) => report.unreadable(name, error),
        None => report.unreadable(name, "it cannot be reached"),
    }
}
