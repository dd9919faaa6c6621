//! Searching the history of a Git repository: every blob, and every message of a commit or a tag, that can be
//! reached from any reference, each once. `git` itself reads the repository.

mod command;
mod history;
mod objects;

use std::{
    collections::HashSet,
    io::{self, BufRead, BufReader},
    num::NonZero,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
};

use crate::domain::token_text::TokenText;

use super::{
    super::failure::Failure,
    place::{Place, Spot, printable},
    report::Report,
};
use command::{Git, failed};
use objects::Objects;

/// How many objects are asked for at a time: their names fit into a pipe, so that asking never waits.
const BATCH: usize = 64;

/// A kind of objects that may hold a token. Trees hold names alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Blob,
    Commit,
    Tag,
}

/// An object, as `git rev-list` names it.
#[derive(Clone, Debug)]
struct Object {
    id: String,
    /// One of the paths that a blob has.
    path: Vec<u8>,
}

/// A token in a blob, until it is known which commits brought the blob.
struct InBlob {
    object: Object,
    spot: Spot,
    token: TokenText,
}

/// Searches the repository that `path` is in.
///
/// # Errors
/// There is no `git` or no repository, or nobody reads the output.
pub(super) fn search(path: &Path, report: &Report) -> Result<(), Failure> {
    let git = Git::new(path);
    if git.is_shallow()? {
        report.warn("the repository is a shallow clone: what came before is not searched");
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let in_blobs = Mutex::new(Vec::new());
    for (kind, filter) in [
        (Kind::Blob, "--filter=object:type=blob"),
        (Kind::Commit, "--filter=object:type=commit"),
        (Kind::Tag, "--filter=object:type=tag"),
    ] {
        // Without the second filter, what references point to is listed whatever its type.
        let args = [
            "rev-list",
            "--objects",
            filter,
            "--filter-provided-objects",
            "--all",
        ];
        let mut list = git.start(&args)?;
        let names = Mutex::new(BufReader::new(list.take_output()?));
        thread::scope(|scope| {
            let work = || {
                Searcher {
                    git: &git,
                    kind,
                    report,
                    in_blobs: &in_blobs,
                }
                .run(&names)
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(Failure::failed("a thread of the search broke")))
            })
        })?;
        list.end()?;
    }
    tell(
        &git,
        in_blobs
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner),
        report,
    )
}

/// Tells of each token in a blob, once for each commit that brought the blob and each name that it had.
fn tell(git: &Git, in_blobs: Vec<InBlob>, report: &Report) -> Result<(), Failure> {
    if in_blobs.is_empty() {
        return Ok(());
    }
    let blobs: HashSet<_> = in_blobs
        .iter()
        .map(|found| found.object.id.clone())
        .collect();
    let origins = history::origins(git, &blobs)?;
    for InBlob {
        object,
        spot,
        token,
    } in in_blobs
    {
        let place = |commit: Option<&String>, path: &[u8]| Place {
            commit: commit.cloned(),
            object: Some(object.id.clone()),
            path: (!path.is_empty()).then(|| printable(path)),
        };
        match origins.get(&object.id) {
            Some(origins) => {
                for (commit, path) in origins {
                    report.found(&place(Some(commit), path), spot, &token)?;
                }
            }
            // A tag may name a blob that no commit has.
            None => report.found(&place(None, &object.path), spot, &token)?,
        }
    }
    Ok(())
}

/// One thread's part.
struct Searcher<'a> {
    git: &'a Git,
    kind: Kind,
    report: &'a Report,
    in_blobs: &'a Mutex<Vec<InBlob>>,
}

impl Searcher<'_> {
    /// Takes names from the list until there are no more.
    fn run(&self, names: &Mutex<impl BufRead>) -> Result<(), Failure> {
        let mut objects = None;
        loop {
            let batch = next_batch(names).map_err(|error| failed(&error))?;
            if batch.is_empty() {
                return objects.map_or(Ok(()), Objects::end);
            }
            let objects = match &mut objects {
                Some(objects) => objects,
                none => none.insert(Objects::start(self.git)?),
            };
            objects.ask(&batch).map_err(|error| failed(&error))?;
            for object in batch {
                self.search(objects, object)?;
            }
        }
    }

    fn search(&self, objects: &mut Objects, object: Object) -> Result<(), Failure> {
        let mut printed = Ok(());
        let found = |spot, token: TokenText| match self.kind {
            Kind::Blob => {
                let object = object.clone();
                let mut all = self.in_blobs.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(InBlob {
                    object,
                    spot,
                    token,
                });
            }
            Kind::Commit | Kind::Tag if printed.is_ok() => {
                let place = Place {
                    commit: (self.kind == Kind::Commit).then(|| object.id.clone()),
                    object: Some(object.id.clone()),
                    path: None,
                };
                printed = self.report.found(&place, spot, &token);
            }
            Kind::Commit | Kind::Tag => {}
        };
        let searched = objects.search_next(|bytes| self.report.read(bytes), found);
        if searched.map_err(|error| failed(&error))? {
            self.report.begin_file();
        } else {
            self.report
                .unreadable(object.id.as_bytes(), "the repository lacks it");
        }
        Ok(printed?)
    }
}

fn next_batch(names: &Mutex<impl BufRead>) -> io::Result<Vec<Object>> {
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    let mut batch = Vec::with_capacity(BATCH);
    let mut line = Vec::new();
    while batch.len() < BATCH && names.read_until(b'\n', &mut line)? > 0 {
        let mut parts = line.trim_ascii_end().splitn(2, |byte| *byte == b' ');
        let id = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let path = parts.next().unwrap_or_default().to_vec();
        batch.push(Object { id, path });
        line.clear();
    }
    Ok(batch)
}
