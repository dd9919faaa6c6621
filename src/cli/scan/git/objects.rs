//! Which objects a repository has, and their contents: two runs of `git cat-file`.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    process::ChildStdin,
};

use crate::cli::failure::Failure;

use super::{
    super::content::{Content, OnEvent},
    command::{Git, GitOutput, GitProcess, MemoryLimit},
};

/// How many objects are requested at a time. Their names fit into a pipe, so that writing them never blocks.
const BATCH: usize = 64;

/// Larger objects, in bytes, come last.
const MAX_USUAL_SIZE: u64 = 1 << 20;

/// Enough for the names of ten million objects.
const MEMORY: MemoryLimit = MemoryLimit(1024 * 1024);

/// A kind of object that may contain a token. Trees only contain names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Blob,
    Commit,
    Tag,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) id: String,
    pub(super) kind: ObjectKind,
    pub(super) size: u64,
}

/// Lists the objects in the order of their packs, which is the fastest to read.
#[derive(Debug)]
pub(super) struct ObjectList {
    process: GitProcess,
    output: BufReader<GitOutput>,
    large: Vec<Object>,
    problem: Option<String>,
}

impl ObjectList {
    pub(super) fn start(git: Git<'_>) -> Result<Self, Failure> {
        let args = [
            "cat-file",
            "--batch-all-objects",
            "--unordered",
            "--buffer",
            "--batch-check=%(objectname) %(objecttype) %(objectsize)",
        ];
        let mut process = git.start(&args, MEMORY, false)?;
        Ok(Self {
            output: BufReader::new(process.take_output(git.deadline)?),
            process,
            large: Vec::new(),
            problem: None,
        })
    }

    /// The next objects of a usual size; empty at the end of the list.
    pub(super) fn next_batch(&mut self) -> Vec<Object> {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(line) = self.next_line()
        {
            match object(&line) {
                Some(object) if object.size > MAX_USUAL_SIZE => self.large.push(object),
                Some(object) => batch.push(object),
                None => {}
            }
        }
        batch
    }

    /// The next commit.
    pub(super) fn next_commit(&mut self) -> Option<String> {
        loop {
            let object = object(&self.next_line()?);
            if let Some(Object {
                id,
                kind: ObjectKind::Commit,
                ..
            }) = object
            {
                return Some(id);
            }
        }
    }

    fn next_line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) if line.ends_with(" missing\n") => {
                self.problem = Some(format!("damaged: {}", line.trim_end()));
                Some(line)
            }
            Ok(_) => Some(line),
            Err(error) => {
                self.problem = Some(error.to_string());
                None
            }
        }
    }

    /// The large objects, and a problem if there was one.
    pub(super) fn end(self) -> (Vec<Object>, Option<String>) {
        let ended = match self.problem {
            Some(problem) => Err(problem),
            None => self.process.end(),
        };
        (self.large, ended.err())
    }
}

/// Parses `ID TYPE SIZE`. `None` for objects that cannot contain a token.
fn object(line: &str) -> Option<Object> {
    let mut parts = line.split_ascii_whitespace();
    let id = parts.next()?.to_owned();
    let kind = match parts.next()? {
        "blob" => ObjectKind::Blob,
        "commit" => ObjectKind::Commit,
        "tag" => ObjectKind::Tag,
        _ => return None,
    };
    let size = parts.next()?.parse().ok()?;
    Some(Object { id, kind, size })
}

/// Reads objects in the order in which they are requested.
#[derive(Debug)]
pub(super) struct ObjectReader {
    input: ChildStdin,
    output: BufReader<GitOutput>,
    _process: GitProcess,
}

/// Why an object was not searched to its end.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The repository lacks it.
    Missing,
    /// The process failed before it wrote any of the object.
    NotStarted,
    /// The process failed within the object.
    Truncated,
    /// The deadline has passed.
    TimedOut,
}

impl ObjectReader {
    pub(super) fn start(git: Git<'_>, memory: MemoryLimit) -> Result<Self, Failure> {
        let mut process = git.start(&["cat-file", "--batch"], memory, true)?;
        Ok(Self {
            input: process.take_input()?,
            output: BufReader::new(process.take_output(git.deadline)?),
            _process: process,
        })
    }

    /// Requests objects. All of them must be read before more are requested.
    pub(super) fn request<'a>(
        &mut self,
        objects: impl Iterator<Item = &'a Object>,
    ) -> io::Result<()> {
        let names: String = objects.flat_map(|object| [&object.id, "\n"]).collect();
        self.input.write_all(names.as_bytes())
    }

    /// Searches the next object.
    pub(super) fn search_next(
        &mut self,
        content: &mut Content,
        read: impl Fn(u64),
        on_event: OnEvent<'_>,
    ) -> Result<(), ReadError> {
        let not_started = |error: io::Error| match error.kind() {
            ErrorKind::TimedOut => ReadError::TimedOut,
            _ => ReadError::NotStarted,
        };
        let mut header = String::new();
        self.output.read_line(&mut header).map_err(not_started)?;
        if !header.ends_with('\n') {
            return Err(ReadError::NotStarted);
        }
        // `ID TYPE SIZE`, or `ID missing`.
        let mut parts = header.split_ascii_whitespace().skip(2);
        let Some(size) = parts.next() else {
            return Err(ReadError::Missing);
        };
        let size: u64 = size.parse().map_err(|_| ReadError::NotStarted)?;
        let mut source = self.output.by_ref().take(size);
        let searched = content.search(&mut source, read, on_event);
        if let Err(error) = searched
            && error.kind() == ErrorKind::TimedOut
        {
            return Err(ReadError::TimedOut);
        }
        match source.limit() {
            0 => {}
            left if left == size => return Err(ReadError::NotStarted),
            _ => return Err(ReadError::Truncated),
        }
        self.output
            .read_exact(&mut [0])
            .map_err(|_| ReadError::Truncated)
    }
}
