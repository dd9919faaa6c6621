//! The contents of objects: `git cat-file --batch`.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    process::{ChildStdin, ChildStdout, Stdio},
};

use crate::{cli::failure::Failure, domain::token_text::TokenText};

use super::{
    super::{place::Spot, stream::Stream},
    Object,
    command::{Git, Running},
};

/// A process that answers objects in the order in which it is asked for them.
#[derive(Debug)]
pub(super) struct Objects {
    process: Running,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    stream: Stream,
}

impl Objects {
    pub(super) fn start(git: &Git) -> Result<Self, Failure> {
        let mut command = git.command(&["cat-file", "--batch"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Running::start(command)?;
        let (input, output) = (process.take_input()?, process.take_output()?);
        Ok(Self {
            process,
            input,
            output: BufReader::new(output),
            stream: Stream::new(),
        })
    }

    /// Asks for objects; all of them are to be read before more are asked for.
    pub(super) fn ask(&mut self, objects: &[Object]) -> io::Result<()> {
        let names: String = objects
            .iter()
            .flat_map(|object| [&object.id, "\n"])
            .collect();
        self.input.write_all(names.as_bytes())
    }

    /// Searches the next object. Whether there was one.
    pub(super) fn search_next(
        &mut self,
        read: impl Fn(u64),
        found: impl FnMut(Spot, TokenText),
    ) -> io::Result<bool> {
        let mut header = String::new();
        if self.output.read_line(&mut header)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // `ID TYPE SIZE`, or `ID missing`.
        let mut parts = header.split_ascii_whitespace().skip(2);
        let Some(size) = parts.next() else {
            return Ok(false);
        };
        let size: u64 = size.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        let mut content = self.output.by_ref().take(size);
        self.stream.search(&mut content, read, found)?;
        if content.limit() > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.output.read_exact(&mut [0])?;
        Ok(true)
    }

    /// Waits for the process's end.
    pub(super) fn end(self) -> Result<(), Failure> {
        drop((self.input, self.output));
        self.process.end()
    }
}
