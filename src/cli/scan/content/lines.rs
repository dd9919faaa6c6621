//! Counts lines, only as far as needed, since most files hold no token.

use memchr::{memchr_iter, memrchr};

use super::{super::finding::Location, to_u64};

/// Counts the lines of a file, or of an archive member in it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The offset of the first line in the layer.
    start: u64,
    /// The offset of the buffer in the layer.
    begin: u64,
    /// The count so far.
    counted: Count,
    /// The count at the beginning of the buffer or the member, for going back.
    base: Count,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// The offset up to which lines are counted.
    to: u64,
    /// How many line ends come before it.
    ended: u64,
    /// The offset of the line that `to` is in.
    line_start: u64,
}

impl Lines {
    /// Begins to count the lines of a member at `offset`.
    pub(super) fn restart(&mut self, offset: u64) {
        self.start = offset;
        self.counted = Count {
            to: offset,
            ended: 0,
            line_start: offset,
        };
        self.base = self.counted;
    }

    /// The location of `offset`, given the buffer. Offsets before the buffer count as its beginning.
    pub(super) fn location(&mut self, bytes: &[u8], offset: u64) -> Location {
        let offset = offset.max(self.base.to);
        if offset < self.counted.to {
            self.counted = self.base;
        }
        self.count(bytes, offset);
        Location {
            line: self.counted.ended + 1,
            column: offset - self.counted.line_start + 1,
            offset: offset - self.start,
        }
    }

    /// Counts the lines in bytes that the buffer is about to drop.
    pub(super) fn count_dropped(&mut self, bytes: &[u8]) {
        let begin = self.begin + to_u64(bytes.len());
        if begin >= self.base.to {
            if begin < self.counted.to {
                self.counted = self.base;
            }
            self.count(bytes, begin);
            self.base = self.counted;
        }
        self.begin = begin;
    }

    fn count(&mut self, bytes: &[u8], to: u64) {
        let index = |offset: u64| usize::try_from(offset.saturating_sub(self.begin)).ok();
        let range = index(self.counted.to).zip(index(to));
        let Some(more) = range.and_then(|(from, to)| bytes.get(from..to)) else {
            return;
        };
        self.counted.ended += to_u64(memchr_iter(b'\n', more).count());
        if let Some(last) = memrchr(b'\n', more) {
            self.counted.line_start = self.counted.to + to_u64(last + 1);
        }
        self.counted.to = to;
    }
}
