//! Which commits brought a blob: `git diff-tree` over all commits. It is asked for only where a token was
//! found, and after all was searched: it takes longer than reading the blobs, and a repository can be made for
//! which it never ends.

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufRead, BufReader, BufWriter, Write},
    thread,
};

use crate::cli::failure::Failure;

use super::{
    command::{Git, Memory},
    objects::List,
};

/// The commits that brought each blob, the newest first, with the path that it has there.
pub(super) type Origins = HashMap<String, Vec<(String, Vec<u8>)>>;

/// How many of them are kept of a blob, and how many bytes of all paths: a small tree can name a blob a billion
/// times.
const MAX_OF_A_BLOB: usize = 100;
const MAX_BYTES: usize = 16 << 20;

/// The longest path that is read.
const MAX_PATH: usize = 4096;

const MEMORY: Memory = Memory(512 * 1024);

/// Looks for the origins of `blobs`. A merge brings only what none of its parents has. Whether these are all.
pub(super) fn origins(git: Git<'_>, blobs: &HashSet<String>) -> (Origins, bool) {
    let mut found = Found::default();
    let all = ask(git, blobs, &mut found);
    let mut origins = Origins::new();
    for (blob, mut of_blob) in found.origins {
        of_blob.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
        let of_blob = of_blob.into_iter();
        let of_blob = of_blob.map(|(_, commit, path)| (commit, path));
        origins.insert(blob, of_blob.collect());
    }
    (origins, all.is_ok() && !found.left_out)
}

fn ask(git: Git<'_>, blobs: &HashSet<String>, found: &mut Found) -> Result<(), Failure> {
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
    let mut changes = git.start(&args, MEMORY, true)?;
    let mut input = BufWriter::new(changes.take_input()?);
    let output = BufReader::new(changes.take_output(git.deadline)?);
    let mut commits = List::start(git)?;
    thread::scope(|scope| {
        // It ends where the other process does not read any more.
        let asking = scope.spawn(move || -> io::Result<Option<String>> {
            while let Some(commit) = commits.next_commit() {
                writeln!(input, "{commit}")?;
            }
            input.flush()?;
            Ok(commits.end().1)
        });
        let read = found.read(output, blobs);
        let ended = if matches!(read, Ok(true)) {
            changes.end().is_ok()
        } else {
            drop(changes);
            false
        };
        let asked = asking.join();
        let all = ended && matches!(asked, Ok(Ok(None)));
        all.then_some(())
            .ok_or_else(|| Failure::failed("it broke off"))
    })
}

#[derive(Default)]
struct Found {
    /// By the blob: when the commit was made, its ID, and the path.
    origins: HashMap<String, Vec<(i64, String, Vec<u8>)>>,
    bytes: usize,
    /// How many blobs have as many as are kept.
    full: usize,
    left_out: bool,
}

impl Found {
    /// Reads what ends with NUL each: the ID of a commit and its time, then for each file that it changes
    /// `:MODES OBJECTS STATUS`, as many colons as parents, and its path. Whether it was read to its end.
    fn read(&mut self, mut changes: impl BufRead, blobs: &HashSet<String>) -> io::Result<bool> {
        let (mut commit, mut time, mut item) = (String::new(), 0, Vec::new());
        while next(&mut changes, &mut item)? {
            let text = String::from_utf8_lossy(&item).trim().to_owned();
            // A merge has one more end behind its header.
            if text.is_empty() {
                continue;
            }
            if !text.starts_with(':') {
                let (id, of) = text.split_once(' ').unwrap_or((&text, ""));
                (commit, time) = (id.to_owned(), of.parse().unwrap_or(0));
                continue;
            }
            next(&mut changes, &mut item)?;
            // The last object is the one after the change.
            if let Some(object) = text.split(' ').rev().nth(1)
                && blobs.contains(object)
            {
                let of_blob = self.origins.entry(object.to_owned()).or_default();
                if of_blob.len() == MAX_OF_A_BLOB {
                    self.left_out = true;
                    continue;
                }
                self.bytes += commit.len() + item.len();
                of_blob.push((time, commit.clone(), item.clone()));
                self.full += usize::from(of_blob.len() == MAX_OF_A_BLOB);
                if self.full == blobs.len() || self.bytes > MAX_BYTES {
                    self.left_out = true;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Reads the next item, of which the end is left out where it is longer than any path.
fn next(source: &mut impl BufRead, item: &mut Vec<u8>) -> io::Result<bool> {
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
    fn a_blob_is_brought_by_what_adds_changes_or_merges_it_and_not_by_what_deletes_it() {
        let changes = b"c4 4\0\0::100644 100644 100644 x y b2 MM\0evil\0\
            c3 3\0\n:100644 000000 b1 0 D\0a\0\
            c2 2\0\n:100644 100644 x b1 M\0a b\0:000000 100644 0 y A\0other\0\
            c1 -\0\n:000000 100644 0 b1 A\0a\xff\0";
        let blobs = ["b1", "b2"].map(str::to_owned).into_iter().collect();
        let mut found = Found::default();
        found.read(&changes[..], &blobs).unwrap();
        let origin = |time, commit: &str, path: &[u8]| (time, commit.to_owned(), path.to_owned());
        let of_b1 = [origin(2, "c2", b"a b"), origin(0, "c1", b"a\xff")];
        assert_eq!(found.origins["b1"], of_b1);
        assert_eq!(found.origins["b2"], [origin(4, "c4", b"evil")]);
        assert_eq!(found.origins.len(), 2);
    }

    #[test]
    fn what_names_a_blob_without_end_is_read_in_little_memory() {
        let path = [&b"x".repeat(100_000)[..], b"\0"].concat();
        let change = [&b":000000 100644 0 b1 A\0"[..], &path].concat();
        let changes = [&b"c1 1\0"[..], &change.repeat(300)].concat();
        let mut found = Found::default();
        let blobs = HashSet::from(["b1".to_owned()]);
        found.read(&changes[..], &blobs).unwrap();
        let of_blob = &found.origins["b1"];
        assert_eq!(
            (of_blob.len(), of_blob[0].2.len()),
            (MAX_OF_A_BLOB, MAX_PATH)
        );
        assert!(found.left_out);
    }
}
