//! Searches a stream of bytes for tokens: the bytes themselves, and what they encode (`encoded`, `utf16`, `archive`), each
//! as a layer below. It reads forward only and in bounded memory, so that pipes and hostile files need no special care.

mod archive;
mod encoded;
mod headers;
mod lines;
mod utf16;

use std::io::{self, ErrorKind, Read};

use crate::domain::{token_search::find_tokens, token_text::TokenText};

use super::finding::Location;
use archive::Archive;
use encoded::Encoded;
use lines::Lines;
use utf16::Utf16;

/// The buffer for reading: fits a core's cache, and holds most files whole.
const BUFFER_BYTES: usize = 256 * 1024;

/// The buffer for what another layer unpacks or decodes.
const INNER_BUFFER_BYTES: usize = 32 * 1024;

/// How much of a full buffer is kept: enough for a token, and for the longest header.
const OVERLAP_BYTES: usize = 8 * 1024;

/// Maximum nesting of layers. Enough for a tarball with Helm's base64 of base64 of gzip.
const MAX_LEVEL: u8 = 5;

/// A file may unpack to `MAX_UNPACKED` bytes plus `MAX_RATIO` times its own size.
const MAX_UNPACKED: u64 = 256 * 1024 * 1024;
const MAX_RATIO: u64 = 100;

/// Receives the events of a search, with the names of the archive members around each, from the outermost.
pub(super) type OnEvent<'a> = &'a mut dyn FnMut(&[String], Event);

#[derive(Debug)]
pub(super) enum Event {
    /// A token, and its encoding.
    Found(Location, Option<&'static str>, TokenText),
    /// A part cannot be searched.
    Unreadable(&'static str),
    /// A part is encrypted, or compressed in an unsupported way.
    NotUnpacked,
}

/// Shared by all layers of a file.
struct Context<'a> {
    on_event: OnEvent<'a>,
    /// The archive members around the layer.
    names: Vec<String>,
    read: u64,
    unpacked: u64,
}

impl Context<'_> {
    /// Reports an event within the members `below`.
    fn report(&mut self, below: &[String], event: Event) {
        let depth = self.names.len();
        self.names.extend_from_slice(below);
        (self.on_event)(&self.names, event);
        self.names.truncate(depth);
    }

    /// Runs `work` within the members `below`.
    fn within(&mut self, below: &[String], work: impl FnOnce(&mut Self)) {
        let depth = self.names.len();
        self.names.extend_from_slice(below);
        work(self);
        self.names.truncate(depth);
    }

    /// Counts unpacked bytes. Returns whether they are within the limit.
    fn unpack(&mut self, len: usize) -> bool {
        self.unpacked += to_u64(len);
        self.unpacked <= MAX_UNPACKED + MAX_RATIO * self.read
    }
}

/// The buffer of a layer: the newest bytes, and up to `OVERLAP_BYTES` bytes before them.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    bytes: &'a [u8],
    /// Its offset in the layer.
    begin: u64,
    /// Whether the layer ends with it.
    last: bool,
    level: u8,
    /// Whether its owner counts the lines of archive members in it.
    has_lines: bool,
}

impl Chunk<'_> {
    fn offset(&self, index: usize) -> u64 {
        self.begin + to_u64(index)
    }

    /// The index of `offset` in the bytes; at most their length.
    fn index(&self, offset: u64) -> usize {
        let index = usize::try_from(offset.saturating_sub(self.begin)).unwrap_or(usize::MAX);
        index.min(self.bytes.len())
    }
}

/// Something found at an offset of a layer.
#[derive(Debug)]
struct Mark {
    offset: u64,
    kind: MarkKind,
}

#[derive(Debug)]
enum MarkKind {
    Token(Option<&'static str>, TokenText),
    /// The content of a member of a tar archive begins.
    Member(String),
}

/// A stream of bytes that is searched for tokens. It reports their offsets; its owner counts the lines.
#[derive(Debug)]
struct Layer {
    level: u8,
    has_lines: bool,
    buffer: Box<[u8]>,
    filled: usize,
    begin: u64,
    encoded: Encoded,
    utf16: Utf16,
    archive: Archive,
}

impl Layer {
    fn new(level: u8, has_lines: bool) -> Self {
        let size = if level == 0 {
            BUFFER_BYTES
        } else {
            INNER_BUFFER_BYTES
        };
        Self {
            level,
            has_lines,
            buffer: vec![0; size].into(),
            filled: 0,
            begin: 0,
            encoded: Encoded::default(),
            utf16: Utf16::default(),
            archive: Archive::default(),
        }
    }

    fn reset(&mut self) {
        (self.filled, self.begin) = (0, 0);
        self.encoded.reset();
        self.utf16.reset();
        self.archive.reset();
    }

    /// The free part of the buffer. Passes to `on_drop` the bytes that it drops to make some.
    fn free_space(&mut self, mut on_drop: impl FnMut(&[u8])) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            let gone = self.filled - OVERLAP_BYTES;
            on_drop(&self.buffer[..gone]);
            self.buffer.copy_within(gone.., 0);
            self.begin += to_u64(gone);
            self.filled = OVERLAP_BYTES;
        }
        &mut self.buffer[self.filled..]
    }

    /// Searches `len` more bytes, which the caller has put into the buffer. `last` ends the layer.
    fn search(&mut self, len: usize, last: bool, context: &mut Context<'_>, marks: &mut Vec<Mark>) {
        let from = self.filled;
        self.filled += len;
        let chunk = Chunk {
            bytes: &self.buffer[..self.filled],
            begin: self.begin,
            last,
            level: self.level,
            has_lines: self.has_lines,
        };
        find_tokens(chunk.bytes, from, |start, token| {
            marks.push(Mark {
                offset: chunk.offset(start),
                kind: MarkKind::Token(None, token),
            });
        });
        if self.level < MAX_LEVEL {
            self.encoded.search(chunk, context, marks);
            self.utf16.search(chunk, context, marks);
        }
        self.archive.search(chunk, context, marks);
    }

    /// Searches bytes that another layer has decoded.
    fn push(&mut self, mut bytes: &[u8], context: &mut Context<'_>, marks: &mut Vec<Mark>) {
        while !bytes.is_empty() {
            let space = self.free_space(|_| ());
            let len = space.len().min(bytes.len());
            space[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.search(len, false, context, marks);
        }
    }

    /// Ends the layer.
    fn end(&mut self, context: &mut Context<'_>, marks: &mut Vec<Mark>) {
        self.search(0, true, context, marks);
    }
}

/// A file, or a member of an archive: a layer that has lines.
#[derive(Debug)]
pub(super) struct Content {
    layer: Layer,
    lines: Lines,
    marks: Vec<Mark>,
    /// The member of a tar archive in which lines are counted.
    member: Option<String>,
}

impl Content {
    /// For files. Can be reused for any number of them.
    pub(super) fn new() -> Self {
        Self::at(0)
    }

    fn at(level: u8) -> Self {
        Self {
            layer: Layer::new(level, true),
            lines: Lines::default(),
            marks: Vec::new(),
            member: None,
        }
    }

    /// Searches all of `source`. Passes the number of bytes to `read` as they are read.
    pub(super) fn search(
        &mut self,
        mut source: impl Read,
        read: impl Fn(u64),
        on_event: OnEvent<'_>,
    ) -> io::Result<()> {
        self.layer.reset();
        self.lines = Lines::default();
        self.member = None;
        let mut context = Context {
            on_event,
            names: Vec::new(),
            read: 0,
            unpacked: 0,
        };
        let ended = loop {
            let lines = &mut self.lines;
            match source.read(self.layer.free_space(|gone| lines.count_dropped(gone))) {
                Ok(0) => break Ok(()),
                Ok(len) => {
                    context.read += to_u64(len);
                    self.advance(len, false, &mut context);
                    read(to_u64(len));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.advance(0, true, &mut context);
        ended
    }

    /// Searches bytes that another layer has unpacked.
    fn push(&mut self, mut bytes: &[u8], context: &mut Context<'_>) {
        while !bytes.is_empty() {
            let lines = &mut self.lines;
            let space = self.layer.free_space(|gone| lines.count_dropped(gone));
            let len = space.len().min(bytes.len());
            space[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.advance(len, false, context);
        }
    }

    fn end(&mut self, context: &mut Context<'_>) {
        self.advance(0, true, context);
    }

    fn advance(&mut self, len: usize, last: bool, context: &mut Context<'_>) {
        self.layer.search(len, last, context, &mut self.marks);
        // A member comes before the token at its beginning.
        let is_token = |mark: &Mark| matches!(mark.kind, MarkKind::Token(..));
        self.marks.sort_by_key(|mark| (mark.offset, is_token(mark)));
        let bytes = &self.layer.buffer[..self.layer.filled];
        for Mark { offset, kind } in self.marks.drain(..) {
            match kind {
                MarkKind::Member(name) => {
                    self.lines.restart(offset);
                    self.member = Some(name);
                }
                MarkKind::Token(encoding, token) => {
                    let location = self.lines.location(bytes, offset);
                    let event = Event::Found(location, encoding, token);
                    context.report(self.member.as_slice(), event);
                }
            }
        }
    }
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
