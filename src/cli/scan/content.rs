//! What is searched for tokens: bytes that come in pieces, from wherever. They are searched as they are, and
//! within what they encode (`encoded`, `utf16`, `archive`), each of which leads to a layer below. All of it
//! goes forward only, in memory of a fixed size, so that a pipe and a hostile file are searched alike.

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

/// As much as is read at a time: it fits a core's cache, and most files are read at once.
const PIECE: usize = 256 * 1024;

/// Likewise of what another layer unpacks or decodes.
const INNER_PIECE: usize = 32 * 1024;

/// What stays of a piece before the next: a token, and the longest header that is waited for.
const KEPT: usize = 8 * 1024;

/// How many layers may lie above one another: Helm's base64 of base64 of gzip, in a tarball.
const MAX_LEVEL: u8 = 5;

/// A file may unpack to this and `MAX_RATIO` times its own size.
const MAX_UNPACKED: u64 = 256 * 1024 * 1024;
const MAX_RATIO: u64 = 100;

/// What the search of a file has to say. The names say in what member of what archive, from the outermost.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&[String], Event);

/// One thing of it.
#[derive(Debug)]
pub(super) enum Event {
    /// A token, and the encoding that it was read from.
    Found(Location, Option<&'static str>, TokenText),
    /// A part cannot be searched.
    Unreadable(&'static str),
    /// A part is compressed or encrypted in a way that is not unpacked.
    Sealed,
}

/// What all layers of a file share.
struct Context<'a> {
    tell: Tell<'a>,
    /// The members that the layer is in.
    names: Vec<String>,
    read: u64,
    unpacked: u64,
}

impl Context<'_> {
    /// Tells it of a member below.
    fn tell(&mut self, below: &[String], event: Event) {
        let depth = self.names.len();
        self.names.extend_from_slice(below);
        (self.tell)(&self.names, event);
        self.names.truncate(depth);
    }

    /// Does `work` within these members.
    fn within(&mut self, below: &[String], work: impl FnOnce(&mut Self)) {
        let depth = self.names.len();
        self.names.extend_from_slice(below);
        work(self);
        self.names.truncate(depth);
    }

    /// Whether so much more may be unpacked.
    fn unpack(&mut self, len: usize) -> bool {
        self.unpacked += to_u64(len);
        self.unpacked <= MAX_UNPACKED + MAX_RATIO * self.read
    }
}

/// A part of a layer: what came last, and `KEPT` bytes before it.
#[derive(Clone, Copy)]
struct Piece<'a> {
    bytes: &'a [u8],
    /// Where it begins in the layer.
    begin: u64,
    /// Whether nothing comes behind it.
    last: bool,
    level: u8,
    /// Whether somebody counts the lines of its members.
    has_lines: bool,
}

impl Piece<'_> {
    fn offset(&self, index: usize) -> u64 {
        self.begin + to_u64(index)
    }

    /// Where `offset` is in the bytes; their end if it is behind.
    fn index(&self, offset: u64) -> usize {
        let index = usize::try_from(offset.saturating_sub(self.begin)).unwrap_or(usize::MAX);
        index.min(self.bytes.len())
    }
}

/// Something at an offset of a layer.
#[derive(Debug)]
struct Mark {
    offset: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Token(Option<&'static str>, TokenText),
    /// The content of a member of a tar archive begins.
    Member(String),
}

/// Bytes in which tokens are looked for. It says where they are in it; lines are the owner's to count.
#[derive(Debug)]
struct Layer {
    level: u8,
    has_lines: bool,
    buffer: Box<[u8]>,
    filled: usize,
    begin: u64,
    encoded: Encoded,
    wide: Utf16,
    archive: Archive,
}

impl Layer {
    fn new(level: u8, has_lines: bool) -> Self {
        let size = if level == 0 { PIECE } else { INNER_PIECE };
        Self {
            level,
            has_lines,
            buffer: vec![0; size].into(),
            filled: 0,
            begin: 0,
            encoded: Encoded::default(),
            wide: Utf16::default(),
            archive: Archive::default(),
        }
    }

    /// Makes it as new.
    fn reset(&mut self) {
        (self.filled, self.begin) = (0, 0);
        self.encoded.reset();
        self.wide.reset();
        self.archive.reset();
    }

    /// Where to put what comes next. `leave` is told what goes to make room.
    fn room(&mut self, mut leave: impl FnMut(&[u8])) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            let gone = self.filled - KEPT;
            leave(&self.buffer[..gone]);
            self.buffer.copy_within(gone.., 0);
            self.begin += to_u64(gone);
            self.filled = KEPT;
        }
        &mut self.buffer[self.filled..]
    }

    /// Searches `len` bytes that were put into the room; with `last`, what waited for more.
    fn search(&mut self, len: usize, last: bool, context: &mut Context<'_>, marks: &mut Vec<Mark>) {
        let from = self.filled;
        self.filled += len;
        let piece = Piece {
            bytes: &self.buffer[..self.filled],
            begin: self.begin,
            last,
            level: self.level,
            has_lines: self.has_lines,
        };
        find_tokens(piece.bytes, from, |start, token| {
            marks.push(Mark {
                offset: piece.offset(start),
                what: What::Token(None, token),
            });
        });
        if self.level < MAX_LEVEL {
            self.encoded.search(piece, context, marks);
            self.wide.search(piece, context, marks);
        }
        self.archive.search(piece, context, marks);
    }

    /// Searches what another layer decoded.
    fn push(&mut self, mut bytes: &[u8], context: &mut Context<'_>, marks: &mut Vec<Mark>) {
        while !bytes.is_empty() {
            let room = self.room(|_| ());
            let len = room.len().min(bytes.len());
            room[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.search(len, false, context, marks);
        }
    }

    /// Searches what waited for more.
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
    /// The member of a tar archive that the lines are counted in.
    member: Option<String>,
}

impl Content {
    /// Of files; kept from file to file.
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

    /// Reads `source` to its end and tells of what is in it. How many bytes that were is told to `read`, piece
    /// by piece.
    pub(super) fn search(
        &mut self,
        mut source: impl Read,
        read: impl Fn(u64),
        tell: Tell<'_>,
    ) -> io::Result<()> {
        self.layer.reset();
        self.lines = Lines::default();
        self.member = None;
        let mut context = Context {
            tell,
            names: Vec::new(),
            read: 0,
            unpacked: 0,
        };
        let ended = loop {
            let lines = &mut self.lines;
            match source.read(self.layer.room(|gone| lines.leave(gone))) {
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

    /// Searches what another layer unpacked.
    fn push(&mut self, mut bytes: &[u8], context: &mut Context<'_>) {
        while !bytes.is_empty() {
            let lines = &mut self.lines;
            let room = self.layer.room(|gone| lines.leave(gone));
            let len = room.len().min(bytes.len());
            room[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.advance(len, false, context);
        }
    }

    fn end(&mut self, context: &mut Context<'_>) {
        self.advance(0, true, context);
    }

    fn advance(&mut self, len: usize, last: bool, context: &mut Context<'_>) {
        self.layer.search(len, last, context, &mut self.marks);
        // A member begins before the token that it begins with.
        let is_token = |mark: &Mark| matches!(mark.what, What::Token(..));
        self.marks.sort_by_key(|mark| (mark.offset, is_token(mark)));
        let bytes = &self.layer.buffer[..self.layer.filled];
        for Mark { offset, what } in self.marks.drain(..) {
            match what {
                What::Member(name) => {
                    self.lines.restart(offset);
                    self.member = Some(name);
                }
                What::Token(encoding, token) => {
                    let location = self.lines.location(bytes, offset);
                    let event = Event::Found(location, encoding, token);
                    context.tell(self.member.as_slice(), event);
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
