//! Which commits brought a blob: `git diff-tree` over all commits. It is asked for only where a token was
//! found, since it takes longer than listing the blobs.

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufRead, BufReader},
    process::Stdio,
};

use crate::cli::failure::Failure;

use super::command::{Git, Running, failed};

/// The commits that brought each blob, the newest first, with the path that it has there.
pub(super) type Origins = HashMap<String, Vec<(String, Vec<u8>)>>;

/// Looks for the origins of `blobs`. A merge brings only what none of its parents has.
pub(super) fn origins(git: &Git, blobs: &HashSet<String>) -> Result<Origins, Failure> {
    let mut commits = git.start(&["rev-list", "--all"])?;
    let mut command = git.command(&[
        "diff-tree",
        "--stdin",
        "-r",
        "--root",
        "-c",
        "-z",
        "--no-renames",
    ]);
    let command = command
        .stdin(Stdio::from(commits.take_output()?))
        .stdout(Stdio::piped());
    let mut changes = Running::start(command)?;
    let output = BufReader::new(changes.take_output()?);
    let origins = read(output, blobs).map_err(|error| failed(&error))?;
    changes.end()?;
    commits.end()?;
    Ok(origins)
}

/// Reads what ends with NUL each: the ID of a commit, then for each file that it changes
/// `:MODES OBJECTS STATUS`, as many colons as parents, and its path.
fn read(mut changes: impl BufRead, blobs: &HashSet<String>) -> io::Result<Origins> {
    let mut origins = Origins::new();
    let (mut commit, mut item) = (String::new(), Vec::new());
    let mut next = |item: &mut Vec<u8>| -> io::Result<bool> {
        item.clear();
        let read = changes.read_until(0, item)?;
        item.pop();
        Ok(read > 0)
    };
    while next(&mut item)? {
        let text = String::from_utf8_lossy(&item).into_owned();
        if !text.starts_with(':') {
            commit = text;
            continue;
        }
        next(&mut item)?;
        // The last object is the one after the change.
        if let Some(object) = text.split(' ').rev().nth(1)
            && blobs.contains(object)
        {
            let origin = (commit.clone(), item.clone());
            origins.entry(object.to_owned()).or_default().push(origin);
        }
    }
    Ok(origins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_brought_by_what_adds_changes_or_merges_it_and_not_by_what_deletes_it() {
        let changes = b"c4\0::100644 100644 100644 x y b2 MM\0evil\0\
            c3\0:100644 000000 b1 0 D\0a\0\
            c2\0:100644 100644 x b1 M\0a b\0:000000 100644 0 y A\0other\0\
            c1\0:000000 100644 0 b1 A\0a\xff\0";
        let blobs = ["b1", "b2"].map(str::to_owned).into_iter().collect();
        let origins = read(&changes[..], &blobs).unwrap();
        let of = |blob: &str| &origins[blob][..];
        let origin = |commit: &str, path: &[u8]| (commit.to_owned(), path.to_owned());
        assert_eq!(of("b1"), [origin("c2", b"a b"), origin("c1", b"a\xff")]);
        assert_eq!(of("b2"), [origin("c4", b"evil")]);
        assert_eq!(origins.len(), 2);
    }
}
