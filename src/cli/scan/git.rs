//! Searches a Git repository: every blob and every message of a commit or tag once, reachable or not. `git` reads the
//! objects, but never sees the repository itself, only a temporary one with its objects (`repository`).

mod command;
mod history;
mod objects;
mod repository;

use std::{
    collections::VecDeque,
    num::NonZero,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
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
use command::{Git, GitProgram, MemoryLimit};
use objects::{Object, ObjectKind, ObjectList, ObjectReader, ReadError};
use repository::HashFormat;

/// The maximum number of tokens in blobs for which commits are looked up. Further ones are reported without commits.
const MAX_PENDING: usize = 10_000;

/// The deadline of a search, and of the lookup of commits: `MIN_TIME`, plus the size of the repository's files at
/// `MIN_BYTES_PER_SECOND`. An ordinary repository takes a small part of that.
const MIN_TIME: Duration = Duration::from_secs(30);
const MIN_BYTES_PER_SECOND: u64 = 256 * 1024;

/// For objects of a usual size. Larger ones, and those that need more memory, follow in the other tier.
const USUAL: Tier = Tier {
    processes: 4,
    memory: MemoryLimit(160 * 1024),
};
const LARGE: Tier = Tier {
    processes: 2,
    memory: MemoryLimit(512 * 1024),
};

struct Tier {
    processes: usize,
    memory: MemoryLimit,
}

/// A token in a blob, until the commits that introduced the blob are known.
struct BlobFinding {
    id: String,
    members: Vec<String>,
    finding: Finding,
}

/// The tokens in blobs whose commits are still to be looked up.
pub(super) struct Pending {
    time: Duration,
    program: GitProgram,
    searched: Vec<(TempDir, Mutex<Vec<BlobFinding>>)>,
}

/// Searches the repository that contains `path`.
///
/// # Errors
/// There is no `git` or no repository, or the output cannot be written.
pub(super) fn search(path: &Path, report: &Report) -> Result<Pending, Failure> {
    let program = GitProgram::find()?;
    let repository = repository::find(path)?;
    let objects = printable(repository.objects.as_os_str().as_encoded_bytes());
    if repository.is_elsewhere {
        report.warn(&format!("searching the repository at {objects}"));
    }
    if !repository.shallow.is_empty() {
        let text = "it is a shallow clone: it lacks the older history";
        report.unreadable(&objects, text);
    }
    if !repository.alternates.is_empty() {
        let other = printable(repository.alternates.trim_ascii());
        let text = format!("it borrows objects from a repository that is not searched: {other}");
        report.unreadable(&objects, text);
    }
    let files = repository::list_files(&repository, report);
    let time = MIN_TIME + Duration::from_secs(files.size / MIN_BYTES_PER_SECOND);
    let deadline = Instant::now() + time;
    let mut searched = Vec::new();
    for format in HashFormat::ALL {
        if let Some(folder) = files.make_repository(&repository, format)? {
            let git = Git {
                program: &program,
                folder: folder.path(),
                deadline,
            };
            let blob_findings = search_all(git, &objects, report)?;
            searched.push((folder, blob_findings));
        }
    }
    Ok(Pending {
        time,
        program,
        searched,
    })
}

fn search_all(
    git: Git<'_>,
    name: &str,
    report: &Report,
) -> Result<Mutex<Vec<BlobFinding>>, Failure> {
    let search = Search {
        git,
        report,
        blob_findings: Mutex::default(),
        is_late: AtomicBool::default(),
    };
    let list = Mutex::new(ObjectList::start(git)?);
    let next = || lock(&list).next_batch();
    let mut large = search.run(&USUAL, &next)?;
    let list = list.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (more, problem) = list.end();
    if let Some(problem) = problem {
        report.unreadable(name, printable(problem.as_bytes()));
    }
    large.extend(more);
    // The smallest first, since time may run out.
    large.sort_by_key(|object| object.size);
    let large = Mutex::new(large.into_iter());
    let next = || lock(&large).next().into_iter().collect();
    for object in search.run(&LARGE, &next)? {
        report.unreadable(object.id, "git cannot read it within its memory limit");
    }
    if search.is_late.into_inner() {
        report.unreadable(name, "the search takes too long: the rest is not searched");
    }
    Ok(search.blob_findings)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pending {
    /// Reports each token, once for each commit that introduced its blob and each path of the blob there.
    pub(super) fn report(self, report: &Report) -> Result<(), Failure> {
        for (folder, blob_findings) in self.searched {
            let blob_findings = blob_findings
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            if blob_findings.is_empty() {
                continue;
            }
            let git = Git {
                program: &self.program,
                folder: folder.path(),
                deadline: Instant::now() + self.time,
            };
            let blobs = blob_findings.iter().map(|found| found.id.clone()).collect();
            let (commits, is_complete) = history::commits_of(git, &blobs);
            if !is_complete {
                report.warn("not all commits could be examined for the blobs that they introduced");
            }
            for found in blob_findings {
                let source = |commit: Option<&String>, path: String| Source {
                    commit: commit.cloned(),
                    object: Some(found.id.clone()),
                    ..Source::file(path, &found.members)
                };
                match commits.get(&found.id) {
                    Some(commits) => {
                        for (commit, path) in commits {
                            report.print(&source(Some(commit), printable(path)), &found.finding)?;
                        }
                    }
                    // Perhaps no commit in the repository has it.
                    None => report.print(&source(None, String::new()), &found.finding)?,
                }
            }
        }
        Ok(())
    }
}

/// Shared by the threads of a search.
struct Search<'a> {
    git: Git<'a>,
    report: &'a Report,
    blob_findings: Mutex<Vec<BlobFinding>>,
    is_late: AtomicBool,
}

impl Search<'_> {
    /// Searches what `next` returns until that is empty. Returns the objects that its processes could not begin.
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
                    worker.join().unwrap_or_else(|_| {
                        Err(Failure::failed("a thread of the search panicked"))
                    })?,
                );
            }
            Ok(left)
        })
    }

    /// The work of one thread.
    fn work(
        &self,
        memory: MemoryLimit,
        next: &impl Fn() -> Vec<Object>,
    ) -> Result<Vec<Object>, Failure> {
        let (mut content, mut process, mut left) = (Content::new(), None, Vec::new());
        while !self.is_late.load(Ordering::Relaxed) {
            let mut batch = VecDeque::from(next());
            if batch.is_empty() {
                break;
            }
            let mut is_requested = false;
            while let Some(object) = batch.front() {
                let objects = match &mut process {
                    Some(objects) => objects,
                    none => none.insert(ObjectReader::start(self.git, memory)?),
                };
                // After a process fails, another is asked for the rest.
                let ready = is_requested || objects.request(batch.iter()).is_ok();
                is_requested = true;
                let (searched, printed) = if ready {
                    self.search(objects, &mut content, object)
                } else {
                    (Err(ReadError::NotStarted), Ok(()))
                };
                printed?;
                let Some(object) = batch.pop_front() else {
                    break;
                };
                match searched {
                    Ok(()) => continue,
                    Err(ReadError::Missing) => {
                        self.report.unreadable(object.id, "the repository lacks it");
                        continue;
                    }
                    Err(ReadError::NotStarted) => left.push(object),
                    Err(ReadError::Truncated) => self.report.unreadable(object.id, "it is damaged"),
                    Err(ReadError::TimedOut) => {
                        self.is_late.store(true, Ordering::Relaxed);
                        return Ok(left);
                    }
                }
                (process, is_requested) = (None, false);
            }
        }
        Ok(left)
    }

    fn search(
        &self,
        objects: &mut ObjectReader,
        content: &mut Content,
        object: &Object,
    ) -> (Result<(), ReadError>, Result<(), Failure>) {
        let mut printed = Ok(());
        let mut on_event = |members: &[String], event| {
            let source = || Source {
                commit: (object.kind == ObjectKind::Commit).then(|| object.id.clone()),
                object: Some(object.id.clone()),
                ..Source::file(String::new(), members)
            };
            let (location, encoding, token) = match event {
                Event::Found(location, encoding, token) => (location, encoding, token),
                Event::Unreadable(problem) => {
                    return self.report.unreadable(source().show(), problem);
                }
                Event::NotUnpacked => return self.report.not_unpacked(),
            };
            if !self.report.found(&token) || printed.is_err() {
                return;
            }
            let finding = Finding::new(location, encoding, &token);
            let mut blob_findings = lock(&self.blob_findings);
            if object.kind == ObjectKind::Blob && blob_findings.len() < MAX_PENDING {
                blob_findings.push(BlobFinding {
                    id: object.id.clone(),
                    members: members.to_vec(),
                    finding,
                });
            } else {
                drop(blob_findings);
                printed = self.report.print(&source(), &finding);
            }
        };
        let read = |bytes| self.report.read(bytes);
        let searched = objects.search_next(content, read, &mut on_event);
        if searched.is_ok() {
            self.report.begin_file();
        }
        (searched, printed.map_err(Failure::from))
    }
}
