//! Finding a repository's objects from a path, as `git` does it, but without running `git` there and without
//! reading a line of the repository's configuration.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::{ffi::OsStringExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::cli::{failure::Failure, scan::place::printable};

/// A file that names a folder is no longer than this.
const MAX_NAME: u64 = 4096;

/// Where a repository is.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) objects: PathBuf,
    /// The commits at which a clone was cut, and who lent it objects, as the repository says.
    pub(super) shallow: Vec<u8>,
    pub(super) alternates: Vec<u8>,
    /// Whether it is not the one at the path itself, but one that this is in or leads to.
    pub(super) is_elsewhere: bool,
}

/// The repository that `path` is in.
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
    // A working tree's own has the objects elsewhere.
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

/// The repository's folder that `path` is or, as a file, leads to.
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

/// What a file has, that is one: reading a pipe would wait.
fn read_small(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_file(path)?.take(max).read_to_end(&mut content)?;
    Ok(content)
}

/// Opens what is a file, and nothing else.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    Ok(file)
}
