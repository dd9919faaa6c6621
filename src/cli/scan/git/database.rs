//! A repository of our own, in a folder that goes with the search, that has the objects of another and nothing
//! else of it: no configuration, hooks, attributes, references, replacements or grafts, no index, no
//! commit-graph, no other repository to borrow or fetch from. So nothing of the other can run, or hide history.

use std::{
    fs::{self, FileType},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::cli::{
    failure::Failure,
    scan::{place::printable, report::Report},
};

use super::discovery::{Repository, open_file};

/// Objects' names are hashes, written as hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Sha1,
    Sha256,
}

impl Format {
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

/// Files that hold objects.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// By their names in the folder of objects.
    names: Vec<(Format, PathBuf)>,
    /// How many bytes they have.
    pub(super) size: u64,
}

/// Lists the files of `repository`. What is amiss is told.
pub(super) fn list(repository: &Repository, report: &Report) -> Files {
    let mut files = Files::default();
    let objects = &repository.objects;
    for name in read(objects, report) {
        if name.len() == 2 && is_hex(&name) {
            for file in read(&objects.join(&name), report) {
                let format = Format::ALL
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
                let text = "it is a part of a repository: it lacks objects that it would fetch";
                report.unreadable(printable(objects.as_os_str().as_encoded_bytes()), text);
            }
            continue;
        };
        let index = format!("{stem}.idx");
        let format = if stem.len() == "pack-".len() + Format::Sha256.digits() {
            Format::Sha256
        } else {
            Format::Sha1
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

impl Files {
    fn add(&mut self, objects: &Path, format: Format, name: String, report: &Report) {
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

    /// A repository that has those of `format`, if there are any.
    pub(super) fn repository(
        &self,
        from: &Repository,
        format: Format,
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

/// Objects of more than a mebibyte are not held in memory, where they need not be; the rest bounds what is.
fn config(format: Format) -> String {
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

/// The commits of a repository's list at which its history was cut, without what else may be there. It is only
/// believed in where each commit came from: the objects are all searched.
fn shallow(list: &[u8], format: Format) -> Vec<u8> {
    let lines = list.split(|byte| *byte == b'\n');
    lines
        .filter(|line| line.len() == format.digits())
        .filter(|line| line.iter().all(u8::is_ascii_hexdigit))
        .flat_map(|line| [line, b"\n"].concat())
        .collect()
}

/// The names in a folder that are text, as all are that count.
fn read(folder: &Path, report: &Report) -> Vec<String> {
    let is_folder = folder.symlink_metadata().map(|found| found.file_type());
    let names = match is_folder {
        Ok(kind) if FileType::is_dir(&kind) => fs::read_dir(folder),
        Ok(_) => Err(io::Error::other("it is not a folder")),
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
