//! Searching what a Git repository holds: every blob, and every message of a commit or a tag, each once, whether
//! or not a reference leads to it. `git` itself reads the objects, but it never sees the repository: only a
//! repository of our own that has its objects (`repository`).

mod command;
mod history;
mod objects;
mod repository;

use std::{
    collections::VecDeque,
    num::NonZero,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    super::failure::Failure,
    content::{Content, Event},
    finding::{Finding, Source, printable},
    report::Report,
};
use command::{Git, Memory, Program};
use objects::{Kind, List, Object, Objects, Problem};
use repository::Format;

/// Where each token in a blob came from is told for so many; the rest are told at once, without.
const MAX_PENDING: usize = 10_000;

/// The time that a search may take, and the one for origins: for any repository, and for each of so many bytes of
/// its files. That is many times what an honest one takes.
const TIME: Duration = Duration::from_secs(30);
const BYTES_A_SECOND: u64 = 256 * 1024;

/// Objects of a usual size are read by several processes. Those that are larger, or that need more memory than
/// these have, come last.
const USUAL: Tier = Tier {
    processes: 4,
    memory: Memory(160 * 1024),
};
const LARGE: Tier = Tier {
    processes: 2,
    memory: Memory(512 * 1024),
};

struct Tier {
    processes: usize,
    memory: Memory,
}

/// A token in a blob, until it is known which commits brought the blob.
struct InBlob {
    id: String,
    members: Vec<String>,
    finding: Finding,
}

/// Where tokens were found whose origins are not known yet.
pub(super) struct Found {
    time: Duration,
    program: Program,
    searched: Vec<(TempDir, Mutex<Vec<InBlob>>)>,
}

/// Searches the repository that `path` is in.
///
/// # Errors
/// There is no `git` or no repository, or nobody reads the output.
pub(super) fn search(path: &Path, report: &Report) -> Result<Found, Failure> {
    let program = Program::find()?;
    let repository = repository::find(path)?;
    let objects = printable(repository.objects.as_os_str().as_encoded_bytes());
    if repository.is_elsewhere {
        report.warn(&format!("searching the repository at {objects}"));
    }
    if !repository.shallow.is_empty() {
        let text = "it is a shallow clone: what came before is not here";
        report.unreadable(&objects, text);
    }
    if !repository.alternates.is_empty() {
        let lent = printable(repository.alternates.trim_ascii());
        let text =
            format!("it borrows objects from another, which is not searched with it: {lent}");
        report.unreadable(&objects, text);
    }
    let files = repository::list_files(&repository, report);
    let time = TIME + Duration::from_secs(files.size / BYTES_A_SECOND);
    let deadline = Instant::now() + time;
    let mut searched = Vec::new();
    for format in Format::ALL {
        if let Some(folder) = files.repository(&repository, format)? {
            let git = Git {
                program: &program,
                folder: folder.path(),
                deadline,
            };
            let in_blobs = search_all(git, &objects, report)?;
            searched.push((folder, in_blobs));
        }
    }
    Ok(Found {
        time,
        program,
        searched,
    })
}

fn search_all(git: Git<'_>, name: &str, report: &Report) -> Result<Mutex<Vec<InBlob>>, Failure> {
    let search = Search {
        git,
        report,
        in_blobs: Mutex::default(),
        late: Mutex::default(),
    };
    let list = Mutex::new(List::start(git)?);
    let next = || lock(&list).next_batch();
    let mut large = search.run(&USUAL, &next)?;
    let list = list.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (more, problem) = list.end();
    if let Some(problem) = problem {
        report.unreadable(name, printable(problem.as_bytes()));
    }
    large.extend(more);
    // The smallest first: time may run out.
    large.sort_by_key(|object| object.size);
    let large = Mutex::new(large.into_iter());
    let next = || lock(&large).next().into_iter().collect();
    for object in search.run(&LARGE, &next)? {
        report.unreadable(
            object.id,
            "git cannot read it, or not in the memory that it may take",
        );
    }
    if *lock(&search.late) {
        report.unreadable(name, "it takes too long: the rest is not searched");
    }
    Ok(search.in_blobs)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Found {
    /// Tells of each token in a blob, once for each commit that brought the blob and each name that it had.
    pub(super) fn tell_origins(self, report: &Report) -> Result<(), Failure> {
        for (folder, in_blobs) in self.searched {
            let in_blobs = in_blobs
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            if in_blobs.is_empty() {
                continue;
            }
            let git = Git {
                program: &self.program,
                folder: folder.path(),
                deadline: Instant::now() + self.time,
            };
            let blobs = in_blobs.iter().map(|found| found.id.clone()).collect();
            let (origins, all) = history::origins(git, &blobs);
            if !all {
                report.warn("not all commits could be asked for what they brought");
            }
            for found in in_blobs {
                let source = |commit: Option<&String>, path: String| Source {
                    commit: commit.cloned(),
                    object: Some(found.id.clone()),
                    ..Source::file(path, &found.members)
                };
                match origins.get(&found.id) {
                    Some(origins) => {
                        for (commit, path) in origins {
                            report.tell(&source(Some(commit), printable(path)), &found.finding)?;
                        }
                    }
                    // No commit that is here may have it.
                    None => report.tell(&source(None, String::new()), &found.finding)?,
                }
            }
        }
        Ok(())
    }
}

/// What the threads of a search share.
struct Search<'a> {
    git: Git<'a>,
    report: &'a Report,
    in_blobs: Mutex<Vec<InBlob>>,
    late: Mutex<bool>,
}

impl Search<'_> {
    /// Searches what `next` gives until that is nothing. What its processes did not begin comes back.
    fn run(
        &self,
        tier: &Tier,
        next: &(impl Fn() -> Vec<Object> + Sync),
    ) -> Result<Vec<Object>, Failure> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| {
            let work = || self.work(tier.memory, next);
            let workers: Vec<_> = (0..cores.min(tier.processes))
                .map(|_| scope.spawn(work))
                .collect();
            let mut left = Vec::new();
            for worker in workers {
                left.extend(
                    worker
                        .join()
                        .unwrap_or_else(|_| Err(Failure::failed("a thread of the search broke")))?,
                );
            }
            Ok(left)
        })
    }

    /// One thread's part.
    fn work(
        &self,
        memory: Memory,
        next: &impl Fn() -> Vec<Object>,
    ) -> Result<Vec<Object>, Failure> {
        let (mut content, mut process, mut left) = (Content::new(), None, Vec::new());
        while !*lock(&self.late) {
            let mut batch = VecDeque::from(next());
            if batch.is_empty() {
                break;
            }
            let mut asked = false;
            while let Some(object) = batch.front() {
                let objects = match &mut process {
                    Some(objects) => objects,
                    none => none.insert(Objects::start(self.git, memory)?),
                };
                // Where the process broke, another is asked for the rest.
                let ready = asked || objects.ask(batch.iter()).is_ok();
                asked = true;
                let (searched, printed) = if ready {
                    self.search(objects, &mut content, object)
                } else {
                    (Err(Problem::NotBegun), Ok(()))
                };
                printed?;
                let Some(object) = batch.pop_front() else {
                    break;
                };
                match searched {
                    Ok(()) => continue,
                    Err(Problem::Missing) => {
                        self.report.unreadable(object.id, "the repository lacks it");
                        continue;
                    }
                    Err(Problem::NotBegun) => left.push(object),
                    Err(Problem::Broken) => self.report.unreadable(object.id, "it is damaged"),
                    Err(Problem::Late) => {
                        *lock(&self.late) = true;
                        return Ok(left);
                    }
                }
                (process, asked) = (None, false);
            }
        }
        Ok(left)
    }

    fn search(
        &self,
        objects: &mut Objects,
        content: &mut Content,
        object: &Object,
    ) -> (Result<(), Problem>, Result<(), Failure>) {
        let mut printed = Ok(());
        let mut tell = |members: &[String], event| {
            let source = || Source {
                commit: (object.kind == Kind::Commit).then(|| object.id.clone()),
                object: Some(object.id.clone()),
                ..Source::file(String::new(), members)
            };
            let (location, encoding, token) = match event {
                Event::Found(location, encoding, token) => (location, encoding, token),
                Event::Unreadable(problem) => {
                    return self.report.unreadable(source().show(), problem);
                }
                Event::Sealed => return self.report.sealed(),
            };
            if !self.report.found(&token) || printed.is_err() {
                return;
            }
            let finding = Finding::new(location, encoding, &token);
            let mut in_blobs = lock(&self.in_blobs);
            if object.kind == Kind::Blob && in_blobs.len() < MAX_PENDING {
                in_blobs.push(InBlob {
                    id: object.id.clone(),
                    members: members.to_vec(),
                    finding,
                });
            } else {
                drop(in_blobs);
                printed = self.report.tell(&source(), &finding);
            }
        };
        let read = |bytes| self.report.read(bytes);
        let searched = objects.search_next(content, read, &mut tell);
        if searched.is_ok() {
            self.report.begin_file();
        }
        (searched, printed.map_err(Failure::from))
    }
}
