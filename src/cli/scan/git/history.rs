//! Finds the commits that introduced blobs: `git diff-tree` over all commits. It runs after the search, and only for blobs
//! with tokens, since it takes longer than reading the blobs, and a repository can be made for which it never ends.

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufRead, BufReader, BufWriter, Write},
    thread,
};

use crate::cli::failure::Failure;

use super::{
    command::{Git, MemoryLimit},
    objects::ObjectList,
};

/// For each blob the commits that introduced it, the newest first, and its path there.
pub(super) type Commits = HashMap<String, Vec<(String, Vec<u8>)>>;

/// Limits of the commits per blob, and of the bytes of all IDs and paths: a small tree can name a blob a billion times.
const MAX_PER_BLOB: usize = 100;
const MAX_BYTES: usize = 16 << 20;

/// Longer paths are truncated.
const MAX_PATH: usize = 4096;

const MEMORY: MemoryLimit = MemoryLimit(512 * 1024);

/// The commits that introduced `blobs`, and whether these are all. A merge introduces only what none of its parents has.
pub(super) fn commits_of(git: Git<'_>, blobs: &HashSet<String>) -> (Commits, bool) {
    let mut changes = FileChanges::default();
    let done = read_history(git, blobs, &mut changes);
    let is_complete = done.is_ok() && !changes.is_truncated;
    let commits = changes.by_blob.into_iter().map(|(blob, mut commits)| {
        commits.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
        let commits = commits.into_iter().map(|(_, commit, path)| (commit, path));
        (blob, commits.collect())
    });
    (commits.collect(), is_complete)
}

fn read_history(
    git: Git<'_>,
    blobs: &HashSet<String>,
    changes: &mut FileChanges,
) -> Result<(), Failure> {
    let args = [
        "diff-tree",
        "--stdin",
        "-r",
        "--root",
        "-c",
        "-z",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "--format=%H %ct",
    ];
    let mut diff = git.start(&args, MEMORY, true)?;
    let mut input = BufWriter::new(diff.take_input()?);
    let output = BufReader::new(diff.take_output(git.deadline)?);
    let mut commits = ObjectList::start(git)?;
    thread::scope(|scope| {
        // Ends when the other process stops reading.
        let writer = scope.spawn(move || -> io::Result<Option<String>> {
            while let Some(commit) = commits.next_commit() {
                writeln!(input, "{commit}")?;
            }
            input.flush()?;
            Ok(commits.end().1)
        });
        let read = changes.read(output, blobs);
        let ended = if matches!(read, Ok(true)) {
            diff.end().is_ok()
        } else {
            drop(diff);
            false
        };
        let written = writer.join();
        let is_complete = ended && matches!(written, Ok(Ok(None)));
        is_complete
            .then_some(())
            .ok_or_else(|| Failure::failed("git ended early"))
    })
}

/// The changes that introduced blobs.
#[derive(Default)]
struct FileChanges {
    /// For each blob the commit times, commit IDs and paths.
    by_blob: HashMap<String, Vec<(i64, String, Vec<u8>)>>,
    bytes: usize,
    /// How many blobs have `MAX_PER_BLOB` commits.
    full: usize,
    /// Whether commits were left out.
    is_truncated: bool,
}

impl FileChanges {
    /// Reads items that end with NUL: the ID and time of a commit, then for each file that it changes `:MODES OBJECTS
    /// STATUS`, with a colon for each parent, and its path. Returns whether it read to the end.
    fn read(&mut self, mut source: impl BufRead, blobs: &HashSet<String>) -> io::Result<bool> {
        let (mut commit, mut time, mut item) = (String::new(), 0, Vec::new());
        while read_item(&mut source, &mut item)? {
            let text = String::from_utf8_lossy(&item).trim().to_owned();
            // A merge has another NUL after its header.
            if text.is_empty() {
                continue;
            }
            if !text.starts_with(':') {
                let (id, of) = text.split_once(' ').unwrap_or((&text, ""));
                (commit, time) = (id.to_owned(), of.parse().unwrap_or(0));
                continue;
            }
            read_item(&mut source, &mut item)?;
            // The last object is the new one.
            if let Some(object) = text.split(' ').rev().nth(1)
                && blobs.contains(object)
            {
                let commits = self.by_blob.entry(object.to_owned()).or_default();
                if commits.len() == MAX_PER_BLOB {
                    self.is_truncated = true;
                    continue;
                }
                self.bytes += commit.len() + item.len();
                commits.push((time, commit.clone(), item.clone()));
                self.full += usize::from(commits.len() == MAX_PER_BLOB);
                if self.full == blobs.len() || self.bytes > MAX_BYTES {
                    self.is_truncated = true;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Reads the next item, and truncates it to `MAX_PATH`.
fn read_item(source: &mut impl BufRead, item: &mut Vec<u8>) -> io::Result<bool> {
    item.clear();
    let mut any = false;
    loop {
        let bytes = source.fill_buf()?;
        if bytes.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = memchr::memchr(0, bytes);
        let len = end.unwrap_or(bytes.len());
        item.extend(bytes[..len].iter().take(MAX_PATH - item.len()));
        source.consume(end.map_or(len, |end| end + 1));
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_changing_or_merging_introduces_a_blob_and_deleting_does_not() {
        let changes = b"c4 4\0\0::100644 100644 100644 x y b2 MM\0evil\0\
            c3 3\0\n:100644 000000 b1 0 D\0a\0\
            c2 2\0\n:100644 100644 x b1 M\0a b\0:000000 100644 0 y A\0other\0\
            c1 -\0\n:000000 100644 0 b1 A\0a\xff\0";
        let blobs = ["b1", "b2"].map(str::to_owned).into_iter().collect();
        let mut found = FileChanges::default();
        found.read(&changes[..], &blobs).unwrap();
        let change = |time, commit: &str, path: &[u8]| (time, commit.to_owned(), path.to_owned());
        let of_b1 = [change(2, "c2", b"a b"), change(0, "c1", b"a\xff")];
        assert_eq!(found.by_blob["b1"], of_b1);
        assert_eq!(found.by_blob["b2"], [change(4, "c4", b"evil")]);
        assert_eq!(found.by_blob.len(), 2);
    }

    #[test]
    fn endless_changes_of_a_blob_are_read_in_bounded_memory() {
        let path = [&b"x".repeat(100_000)[..], b"\0"].concat();
        let change = [&b":000000 100644 0 b1 A\0"[..], &path].concat();
        let changes = [&b"c1 1\0"[..], &change.repeat(300)].concat();
        let mut found = FileChanges::default();
        let blobs = HashSet::from(["b1".to_owned()]);
        found.read(&changes[..], &blobs).unwrap();
        let of_blob = &found.by_blob["b1"];
        assert_eq!(
            (of_blob.len(), of_blob[0].2.len()),
            (MAX_PER_BLOB, MAX_PATH)
        );
        assert!(found.is_truncated);
    }
}
