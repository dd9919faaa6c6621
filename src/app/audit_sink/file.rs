//! What the sink writes to: a file, which may be moved or cut by a rotation of logs at any time; a named pipe; or the
//! standard output.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::fd::AsFd as _,
    os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use serde::Deserialize;

use crate::domain::audit::ChainHead;

use super::SinkTarget;

/// More than any line.
const TAIL_BYTES: u64 = 64 * 1024;
/// How each line of ours begins.
const LINE: &[u8] = b"{\"sequence\":";

/// How the file was found.
#[derive(Debug)]
pub(super) enum Opened {
    /// It is open, and nothing happened to it.
    AsBefore,
    /// It was opened. The row of its last whole line, if that is one of ours.
    Anew(Option<ChainHead>),
    /// It is shorter than it was.
    Cut,
}

#[derive(Debug)]
pub(super) struct SinkFile {
    /// `None`: the standard output.
    path: Option<PathBuf>,
    open: Option<OpenFile>,
    /// Whether a write to a pipe broke off within a line.
    is_in_line: bool,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    id: (u64, u64),
    /// Its length after the last write, if it is a regular file.
    length: Option<u64>,
}

impl OpenFile {
    fn new(file: File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            id: id(&found),
            length: found.is_file().then_some(found.len()),
            file,
        })
    }
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

impl SinkFile {
    pub(super) fn new(target: &SinkTarget) -> Self {
        let path = match target {
            SinkTarget::File(path) => Some(path.clone()),
            SinkTarget::Stdout => None,
        };
        Self {
            path,
            open: None,
            is_in_line: false,
        }
    }

    /// Opens the file again before the next row.
    pub(super) fn close(&mut self) {
        if self.path.is_some() {
            self.open = None;
        }
    }

    /// Opens the file if it is not open, or if another is at its path by now, and looks whether it was cut.
    pub(super) fn prepare(&mut self) -> io::Result<Opened> {
        if let (Some(open), Some(path)) = (&self.open, &self.path) {
            let found = fs::symlink_metadata(path);
            if !found.is_ok_and(|found| id(&found) == open.id) {
                self.open = None;
            }
        }
        if let Some(open) = &mut self.open {
            let Some(length) = open.length else {
                return Ok(Opened::AsBefore);
            };
            let now = open.file.metadata()?.len();
            open.length = Some(now);
            return Ok(if now < length && self.path.is_some() {
                Opened::Cut
            } else {
                Opened::AsBefore
            });
        }
        let Some(path) = &self.path else {
            let stdout = io::stdout().as_fd().try_clone_to_owned()?;
            self.open = Some(OpenFile::new(File::from(stdout))?);
            return Ok(Opened::Anew(None));
        };
        let mut open = OpenFile::new(open_at(path)?)?;
        let last = match open.length {
            Some(_) => {
                let last = mend(&open.file)?;
                open.length = Some(open.file.metadata()?.len());
                last
            }
            None => None,
        };
        self.open = Some(open);
        Ok(Opened::Anew(last))
    }

    /// Appends whole lines. Once it returns they are on the disk, if there is one below.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let open = self.open.as_mut().ok_or(ErrorKind::NotConnected)?;
        let written = if self.is_in_line && open.length.is_none() {
            open.file
                .write_all(b"\n")
                .and_then(|()| open.file.write_all(lines))
        } else {
            open.file.write_all(lines)
        };
        let synced = written.and_then(|()| match &mut open.length {
            Some(length) => {
                *length += u64::try_from(lines.len()).unwrap_or(0);
                open.file.sync_data()
            }
            None => Ok(()),
        });
        self.is_in_line = synced.is_err();
        if synced.is_err() {
            // What was written of a line is mended when it is opened again.
            self.open = None;
        }
        synced
    }
}

/// Opens the file or pipe, never through a link, and creates the file for its owner alone.
fn open_at(path: &Path) -> io::Result<File> {
    let is_pipe = match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_fifo() => true,
        Ok(found) if found.is_file() => false,
        Ok(_) => return Err(io::Error::other("it is neither a file nor a named pipe")),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    // Without a reader, the open of a pipe would wait for one, and the open of what has become one, too.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut options = OpenOptions::new();
    options
        .append(true)
        .custom_flags(flags.bits().cast_signed());
    if is_pipe {
        let file = options.open(path)?;
        // Its reader may be slow.
        rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
        return Ok(file);
    }
    let file = options.read(true).create(true).mode(0o600).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file any more"));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// What is needed of a line.
#[derive(Deserialize)]
struct LastLine {
    sequence: i64,
    hash: String,
}

/// Removes what a crash has left of a line of ours, ends a line of somebody else, and returns the row of the last line.
fn mend(file: &File) -> io::Result<Option<ChainHead>> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_BYTES);
    let mut tail = vec![0; usize::try_from(length - start).unwrap_or(0)];
    file.read_exact_at(&mut tail, start)?;
    let end = tail
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let partial = &tail[end..];
    if !partial.is_empty() {
        if partial.starts_with(LINE) || LINE.starts_with(partial) {
            file.set_len(start + u64::try_from(end).unwrap_or(0))?;
        } else {
            (&*file).write_all(b"\n")?;
        }
    }
    // A killed server may have written lines that it had not synced.
    file.sync_data()?;
    let whole = tail[..end].strip_suffix(b"\n").unwrap_or_default();
    let last = whole
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line: Option<LastLine> = serde_json::from_slice(last).ok();
    Ok(line.and_then(|line| ChainHead::parse(&format!("{}:{}", line.sequence, line.hash))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_leaves_of_a_line_is_removed_and_other_text_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sink");
        let hash = "ab".repeat(32);
        let line = format!("{{\"sequence\":7,\"hash\":\"{hash}\"}}\n");
        let cases = [
            (String::new(), String::new(), None),
            (line.clone(), line.clone(), Some(7)),
            (format!("{line}{{\"sequ"), line.clone(), Some(7)),
            (
                format!("{line}{{\"sequence\":8,\"ti"),
                line.clone(),
                Some(7),
            ),
            ("{".to_owned(), String::new(), None),
            ("hello".to_owned(), "hello\n".to_owned(), None),
            (format!("{line}hello"), format!("{line}hello\n"), Some(7)),
        ];
        for (before, after, row) in cases {
            fs::write(&path, &before).unwrap();
            let mut file = SinkFile::new(&SinkTarget::File(path.clone()));
            let Opened::Anew(last) = file.prepare().unwrap() else {
                panic!("it was not open");
            };
            assert_eq!(last.map(|last| last.sequence), row, "{before}");
            assert_eq!(fs::read_to_string(&path).unwrap(), after, "{before}");
        }
    }
}
