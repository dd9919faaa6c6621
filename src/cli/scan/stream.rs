//! Searching what comes in pieces: a file of any size, a pipe, an object of a repository.

use std::io::{self, ErrorKind, Read};

use memchr::{memchr_iter, memrchr};

use crate::domain::{
    token_search::{MAX_TOKEN_LEN, find_tokens},
    token_text::TokenText,
};

use super::place::Spot;

/// As much as is read at a time: it fits a core's cache, and most files are read at once.
const PIECE: usize = 256 * 1024;

/// A buffer to read into, kept from file to file.
#[derive(Debug)]
pub(super) struct Stream {
    buffer: Box<[u8]>,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; PIECE].into(),
        }
    }

    /// Reads `source` to its end and tells `found` of each token in it. How many bytes that were is told to
    /// `read`, piece by piece.
    pub(super) fn search(
        &mut self,
        mut source: impl Read,
        read: impl Fn(u64),
        mut found: impl FnMut(Spot, TokenText),
    ) -> io::Result<()> {
        let mut lines = Lines::default();
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                // A token may go on in what comes next.
                let kept = filled + 1 - MAX_TOKEN_LEN;
                lines.leave(&self.buffer[..kept]);
                self.buffer.copy_within(kept.., 0);
                filled -= kept;
            }
            let len = match source.read(&mut self.buffer[filled..]) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let bytes = &self.buffer[..filled + len];
            find_tokens(bytes, filled, |start, token| {
                found(lines.spot(bytes, start), token);
            });
            filled += len;
            read(u64::try_from(len).unwrap_or(u64::MAX));
        }
    }
}

/// Counts lines, no further than is asked: most files hold no token.
#[derive(Debug, Default)]
struct Lines {
    /// Where the buffer begins in the file.
    begin: u64,
    /// How far in the buffer lines are counted.
    counted: usize,
    /// How many have ended up to there.
    ended: u64,
    /// Where the line there begins in the file.
    line_start: u64,
}

impl Lines {
    fn spot(&mut self, bytes: &[u8], start: usize) -> Spot {
        self.count(bytes, start);
        let offset = self.begin + to_u64(start);
        Spot {
            line: self.ended + 1,
            column: offset - self.line_start + 1,
            offset,
        }
    }

    /// The buffer gives these bytes away.
    fn leave(&mut self, bytes: &[u8]) {
        self.count(bytes, bytes.len());
        self.counted -= bytes.len();
        self.begin += to_u64(bytes.len());
    }

    fn count(&mut self, bytes: &[u8], to: usize) {
        let Some(more) = bytes.get(self.counted..to) else {
            return;
        };
        self.ended += to_u64(memchr_iter(b'\n', more).count());
        if let Some(last) = memrchr(b'\n', more) {
            self.line_start = self.begin + to_u64(self.counted + last + 1);
        }
        self.counted = to;
    }
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        id::{Id, TokenId},
        token_text::TokenPrefix,
    };

    /// Gives what it has in pieces of a size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(self.1);
            (&mut self.0).read(&mut buffer[..len])
        }
    }

    fn search(bytes: &[u8], piece: usize, buffer: usize) -> Vec<(Spot, String)> {
        let mut stream = Stream {
            buffer: vec![0; buffer].into(),
        };
        let mut all = Vec::new();
        let found = |spot, token: TokenText| all.push((spot, token.expose().to_owned()));
        stream.search(Pieces(bytes, piece), |_| (), found).unwrap();
        all
    }

    proptest! {
        #[test]
        fn every_token_has_its_line_column_and_offset_however_it_is_read(
            parts in prop::collection::vec("([a-z\\-\n]|\r\n){0,120}", 1..6),
            piece in 1_usize..300,
            buffer in 100_usize..300,
        ) {
            let token = TokenText::generate(&TokenPrefix::default(), TokenId::from_id(Id::from_u128(7)));
            let text = parts.join(token.expose());
            let expected: Vec<_> = text
                .match_indices(token.expose())
                .map(|(offset, token)| {
                    let before = &text[..offset];
                    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                    let spot = Spot {
                        line: to_u64(before.matches('\n').count() + 1),
                        column: to_u64(offset - line_start + 1),
                        offset: to_u64(offset),
                    };
                    (spot, token.to_owned())
                })
                .collect();
            prop_assert_eq!(search(text.as_bytes(), piece, buffer), expected);
        }
    }
}
