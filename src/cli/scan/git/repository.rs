//! Finds a repository's objects, and makes a temporary repository that has them and nothing else.
//!
//! The objects are found as `git` finds them, but without running `git` there and without reading the repository's
//! configuration. The temporary repository has no configuration, hooks, attributes, references, replacements, grafts,
//! index or commit-graph of the other, and no repository to borrow or fetch from. So nothing of the other can run or
//! hide history.

use std::{
    fs::{self, File, FileType},
    io::{self, Read},
    os::unix::{
        ffi::OsStringExt,
        fs::{OpenOptionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use tempfile::TempDir;

use crate::cli::{
    failure::Failure,
    scan::{finding::printable, report::Report},
};

/// Maximum length of a file that names a folder.
const MAX_NAME: u64 = 4096;

/// A repository that was found.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) objects: PathBuf,
    /// Its list of the commits at which a shallow clone ends, and of the repositories that it borrows objects from.
    pub(super) shallow: Vec<u8>,
    pub(super) alternates: Vec<u8>,
    /// Whether it is in a parent folder of the given path, or the path links to it.
    pub(super) is_elsewhere: bool,
}

/// Finds the repository that contains `path`.
pub(super) fn find(path: &Path) -> Result<Repository, Failure> {
    let named = printable(path.as_os_str().as_encoded_bytes());
    let canonical = |path: &Path| {
        path.canonicalize()
            .map_err(|error| Failure::failed(format!("cannot open {named}: {error}")))
    };
    let start = canonical(path)?;
    let found = start
        .ancestors()
        .find_map(|folder| at(&folder.join(".git")).or_else(|| at(folder)));
    let Some(git_dir) = found else {
        return Err(Failure::failed(format!("not a git repository: {named}")));
    };
    // A linked worktree has its objects elsewhere.
    let common = read_small(&git_dir.join("commondir"), MAX_NAME);
    let common = common.map_or_else(|_| git_dir.clone(), |name| join(&git_dir, name));
    let objects = canonical(&common.join("objects"))?;
    let own = [start.join(".git/objects"), start.join("objects")];
    let list = |name| read_small(&common.join(name), u64::from(u32::MAX)).unwrap_or_default();
    Ok(Repository {
        is_elsewhere: !own.contains(&objects),
        shallow: list("shallow"),
        alternates: list("objects/info/alternates"),
        objects,
    })
}

/// The repository's folder: `path`, or the folder that the file `path` names.
fn at(path: &Path) -> Option<PathBuf> {
    let folder = match read_small(path, MAX_NAME) {
        Ok(text) => join(path.parent()?, text.strip_prefix(b"gitdir: ")?.to_vec()),
        Err(_) => path.to_owned(),
    };
    let is_there = |name: &str| folder.join(name).symlink_metadata().is_ok();
    let has_objects = is_there("commondir") || folder.join("objects").is_dir();
    (is_there("HEAD") && has_objects).then_some(folder)
}

fn join(folder: &Path, mut name: Vec<u8>) -> PathBuf {
    name.truncate(name.trim_ascii_end().len());
    folder.join(std::ffi::OsString::from_vec(name))
}

/// Reads a regular file. Reading a pipe would block.
fn read_small(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_file(path)?.take(max).read_to_end(&mut content)?;
    Ok(content)
}

/// Opens a regular file.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    Ok(file)
}

/// The hash of object IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HashFormat {
    Sha1,
    Sha256,
}

impl HashFormat {
    pub(super) const ALL: [Self; 2] = [Self::Sha1, Self::Sha256];

    const fn digits(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// The files with a repository's objects.
#[derive(Debug, Default)]
pub(super) struct ObjectFiles {
    /// With their paths in the folder of objects.
    names: Vec<(HashFormat, PathBuf)>,
    /// In bytes.
    pub(super) size: u64,
}

/// Lists the files with the repository's objects. Reports problems.
pub(super) fn list_files(repository: &Repository, report: &Report) -> ObjectFiles {
    let mut files = ObjectFiles::default();
    let objects = &repository.objects;
    for name in read(objects, report) {
        if name.len() == 2 && is_hex(&name) {
            for file in read(&objects.join(&name), report) {
                let format = HashFormat::ALL
                    .into_iter()
                    .find(|format| file.len() + 2 == format.digits());
                if let Some(format) = format
                    && is_hex(&file)
                {
                    files.add(objects, format, format!("{name}/{file}"), report);
                }
            }
        }
    }
    let packs = read(&objects.join("pack"), report);
    for name in &packs {
        let Some(stem) = name.strip_suffix(".pack") else {
            if name.ends_with(".promisor") {
                let text = "it is a partial clone: it lacks objects that it would fetch";
                report.unreadable(printable(objects.as_os_str().as_encoded_bytes()), text);
            }
            continue;
        };
        let index = format!("{stem}.idx");
        let format = if stem.len() == "pack-".len() + HashFormat::Sha256.digits() {
            HashFormat::Sha256
        } else {
            HashFormat::Sha1
        };
        if packs.contains(&index) {
            files.add(objects, format, format!("pack/{name}"), report);
            files.add(objects, format, format!("pack/{index}"), report);
        } else {
            let path = objects.join("pack").join(name);
            report.unreadable(
                printable(path.as_os_str().as_encoded_bytes()),
                "it has no index",
            );
        }
    }
    files
}

impl ObjectFiles {
    fn add(&mut self, objects: &Path, format: HashFormat, name: String, report: &Report) {
        let path = objects.join(&name);
        let opened = open_file(&path).and_then(|file| file.metadata());
        match opened {
            Ok(metadata) => {
                self.size += metadata.len();
                self.names.push((format, name.into()));
            }
            Err(error) => {
                report.unreadable(printable(path.as_os_str().as_encoded_bytes()), error);
            }
        }
    }

    /// Makes a temporary repository with the objects of `format`, if there are any.
    pub(super) fn make_repository(
        &self,
        from: &Repository,
        format: HashFormat,
    ) -> Result<Option<TempDir>, Failure> {
        let mut names = self.names.iter().filter(|(of, _)| *of == format).peekable();
        if names.peek().is_none() {
            return Ok(None);
        }
        let make = || -> io::Result<TempDir> {
            let folder = TempDir::with_prefix("hallpass-scan-")?;
            let to = folder.path();
            fs::create_dir_all(to.join("objects/pack"))?;
            fs::create_dir(to.join("refs"))?;
            fs::write(to.join("HEAD"), "ref: refs/heads/none\n")?;
            fs::write(to.join("config"), config(format))?;
            fs::write(to.join("shallow"), shallow(&from.shallow, format))?;
            for (_, name) in names {
                let link = to.join("objects").join(name);
                fs::create_dir_all(link.parent().unwrap_or(to))?;
                symlink(from.objects.join(name), link)?;
            }
            Ok(folder)
        };
        make().map(Some).map_err(|error| {
            Failure::failed(format!("cannot make a temporary repository: {error}"))
        })
    }
}

/// Objects above a mebibyte are streamed where possible. The other settings limit the memory.
fn config(format: HashFormat) -> String {
    format!(
        "[core]\n\
         repositoryFormatVersion = 1\n\
         bare = true\n\
         bigFileThreshold = 1m\n\
         deltaBaseCacheLimit = 16m\n\
         packedGitWindowSize = 16m\n\
         packedGitLimit = 64m\n\
         [extensions]\n\
         objectFormat = {}\n",
        format.name()
    )
}

/// The well-formed commit IDs in a list of those at which a shallow clone ends. They only affect which commits are
/// reported: all objects are searched.
fn shallow(list: &[u8], format: HashFormat) -> Vec<u8> {
    let lines = list.split(|byte| *byte == b'\n');
    lines
        .filter(|line| line.len() == format.digits())
        .filter(|line| line.iter().all(u8::is_ascii_hexdigit))
        .flat_map(|line| [line, b"\n"].concat())
        .collect()
}

/// The names in a folder that are UTF-8, as all relevant ones are.
fn read(folder: &Path, report: &Report) -> Vec<String> {
    let is_folder = folder.symlink_metadata().map(|found| found.file_type());
    let names = match is_folder {
        Ok(kind) if FileType::is_dir(&kind) => fs::read_dir(folder),
        Ok(_) => Err(io::Error::other("not a folder")),
        Err(error) => Err(error),
    };
    let problem = match names.and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => {
            let names = entries.into_iter().map(|entry| entry.file_name());
            return names.filter_map(|name| name.into_string().ok()).collect();
        }
        Err(error) => error,
    };
    report.unreadable(printable(folder.as_os_str().as_encoded_bytes()), problem);
    Vec::new()
}

fn is_hex(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
