//! Counting lines, no further than is asked: most files hold no token.

use memchr::{memchr_iter, memrchr};

use super::{super::finding::Location, to_u64};

/// The lines of a file, or of a member that begins within it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Where they begin in the layer.
    origin: u64,
    /// Where the buffer begins in the layer.
    begin: u64,
    /// Up to where in the layer lines are counted.
    counted: Count,
    /// Likewise up to the buffer's beginning, or the member's: for what lies before that.
    base: Count,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    to: u64,
    /// How many have ended up to there.
    ended: u64,
    /// Where the line there begins.
    line_start: u64,
}

impl Lines {
    /// A member begins at `offset`: its lines are counted from there.
    pub(super) fn restart(&mut self, offset: u64) {
        self.origin = offset;
        self.counted = Count {
            to: offset,
            ended: 0,
            line_start: offset,
        };
        self.base = self.counted;
    }

    /// Where `offset` is, of which the buffer `bytes` has all that was not left. What began in a piece before
    /// is told to be where this one begins.
    pub(super) fn location(&mut self, bytes: &[u8], offset: u64) -> Location {
        let offset = offset.max(self.base.to);
        if offset < self.counted.to {
            self.counted = self.base;
        }
        self.count(bytes, offset);
        Location {
            line: self.counted.ended + 1,
            column: offset - self.counted.line_start + 1,
            offset: offset - self.origin,
        }
    }

    /// The buffer gives these bytes away.
    pub(super) fn leave(&mut self, bytes: &[u8]) {
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
