//! Searching files, folders and stdin.

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

/// What of folders is searched.
#[derive(Args, Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct Walk {
    /// Leave out what matches this pattern, of the kind that .gitignore has. May be repeated.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Leave out what the folders' own .gitignore, .ignore and Git's other ignore files exclude. Whoever may
    /// write into a folder may so hide a token in it; how many files were left out is told.
    #[arg(long, overrides_with = "no_ignore")]
    use_ignore_files: bool,
    /// Search what ignore files exclude, too, which is the default.
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
    /// Nobody reads the output, or a pattern is none.
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
            // What is left out is told: one who is told "nothing found" is to know in how much.
            report.left_out(count(&walk));
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
            // What an override does not exclude, it includes.
            exclude.add(&format!("!{glob}")).map_err(refused)?;
        }
        exclude.build().map_err(refused)
    }
}

/// How many files there are.
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

/// Whether it is a file, or what was named: that is read whatever it is, such as the pipe of `<(command)`.
fn is_searched(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_file()) || is_named(entry)
}

fn is_named(entry: &DirEntry) -> bool {
    entry.depth() == 0 && !entry.path().is_dir()
}

/// Searches a file that the walk came by. The error is that of the output.
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
    match open_once(entry.path(), is_named(&entry), seen) {
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

/// The file, unless it was opened before under another name. What was not named may have become a pipe or a
/// link since it was listed: neither is waited for, nor followed.
fn open_once(path: &Path, named: bool, seen: &Seen) -> io::Result<Option<File>> {
    let mut options = File::options();
    options.read(true);
    if !named {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        options.custom_flags(flags.cast_signed());
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !named && !metadata.is_file() {
        return Ok(None);
    }
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(seen
        .insert((metadata.dev(), metadata.ino()))
        .then_some(file))
}

/// Searches what `reader` holds. The error is that of the output.
fn search_one(
    content: &mut Content,
    reader: impl io::Read,
    name: &[u8],
    report: &Report,
) -> io::Result<()> {
    let shown = printable(name);
    let mut printed = Ok(());
    let mut tell = |members: &[String], event| {
        let source = Source::file(shown.clone(), members);
        match event {
            Event::Found(location, encoding, token) => {
                if report.found(&token) && printed.is_ok() {
                    printed = report.tell(&source, &Finding::new(location, encoding, &token));
                }
            }
            Event::Unreadable(problem) => {
                report.unreadable(source.path.unwrap_or_default(), problem);
            }
            Event::Sealed => report.sealed(),
        }
    };
    let read = content.search(reader, |bytes| report.read(bytes), &mut tell);
    if let Err(error) = read {
        report.unreadable(shown, error);
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
    let name = printable(name);
    // The operating system's own words, without the path, which may hold a token.
    match cause.io_error() {
        Some(error) => report.unreadable(name, error),
        None => report.unreadable(name, "the walk cannot go there"),
    }
}
