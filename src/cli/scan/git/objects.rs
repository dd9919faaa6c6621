//! The contents of objects: `git cat-file --batch`.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    process::ChildStdin,
};

use crate::cli::{failure::Failure, scan::content::Tell};

use super::{
    super::content::Content,
    Object,
    command::{Git, Memory, Output, Running},
};

/// A process that answers objects in the order in which it is asked for them.
#[derive(Debug)]
pub(super) struct Objects {
    input: ChildStdin,
    output: BufReader<Output>,
    _process: Running,
}

/// Why an object was not searched to its end.
#[derive(Debug)]
pub(super) enum Problem {
    /// The process answered that there is none.
    Missing,
    /// The process broke before it gave anything of the object.
    NotBegun,
    /// It broke amid the object.
    Broken,
    /// There is no more time.
    Late,
}

impl Objects {
    pub(super) fn start(git: Git<'_>, memory: Memory) -> Result<Self, Failure> {
        let mut process = git.start(&["cat-file", "--batch"], memory, true)?;
        Ok(Self {
            input: process.take_input()?,
            output: BufReader::new(process.take_output(git.deadline)?),
            _process: process,
        })
    }

    /// Asks for objects; all of them are to be read before more are asked for.
    pub(super) fn ask<'a>(&mut self, objects: impl Iterator<Item = &'a Object>) -> io::Result<()> {
        let names: String = objects.flat_map(|object| [&object.id, "\n"]).collect();
        self.input.write_all(names.as_bytes())
    }

    /// Searches the next object.
    pub(super) fn search_next(
        &mut self,
        content: &mut Content,
        read: impl Fn(u64),
        tell: Tell<'_>,
    ) -> Result<(), Problem> {
        let not_begun = |error: io::Error| match error.kind() {
            ErrorKind::TimedOut => Problem::Late,
            _ => Problem::NotBegun,
        };
        let mut header = String::new();
        self.output.read_line(&mut header).map_err(not_begun)?;
        if !header.ends_with('\n') {
            return Err(Problem::NotBegun);
        }
        // `ID TYPE SIZE`, or `ID missing`.
        let mut parts = header.split_ascii_whitespace().skip(2);
        let Some(size) = parts.next() else {
            return Err(Problem::Missing);
        };
        let size: u64 = size.parse().map_err(|_| Problem::NotBegun)?;
        let mut source = self.output.by_ref().take(size);
        let searched = content.search(&mut source, read, tell);
        if let Err(error) = searched
            && error.kind() == ErrorKind::TimedOut
        {
            return Err(Problem::Late);
        }
        match source.limit() {
            0 => {}
            left if left == size => return Err(Problem::NotBegun),
            _ => return Err(Problem::Broken),
        }
        self.output
            .read_exact(&mut [0])
            .map_err(|_| Problem::Broken)
    }
}
