//! UTF-16 of either order, with or without a mark: every other byte is zero where the text is Latin.

use super::{Context, Layer, MAX_LEVEL, Mark, Piece};

/// A text is looked for at every so many bytes, which is less than a token has.
const STRIDE: usize = 64;

/// So many bytes are looked at there.
const WINDOW: usize = 16;

/// Narrows what it finds for the layer below.
#[derive(Debug, Default)]
pub(super) struct Utf16 {
    /// What is searched up to, in the layer.
    next: u64,
    /// What belongs to no text that comes begins before this.
    floor: u64,
    /// Where the text began that goes on at `next`.
    start: Option<u64>,
    child: Option<Box<Layer>>,
    narrow: Vec<u8>,
}

impl Utf16 {
    pub(super) fn reset(&mut self) {
        (self.next, self.floor, self.start) = (0, 0, None);
        self.narrow.clear();
    }

    pub(super) fn search(
        &mut self,
        piece: Piece<'_>,
        context: &mut Context<'_>,
        marks: &mut Vec<Mark>,
    ) {
        let bytes = piece.bytes;
        let mut at = piece.index(self.next);
        loop {
            if self.start.is_none() {
                let floor = piece.index(self.floor);
                let Some(found) = find(bytes, &mut at) else {
                    break;
                };
                let pairs = bytes[floor..found].rchunks_exact(2);
                at = found - 2 * pairs.take_while(|pair| is_wide(pair)).count();
                self.start = Some(piece.offset(at));
            }
            let pairs = bytes[at..].chunks_exact(2);
            let text = pairs.take_while(|pair| is_wide(pair)).map(|pair| pair[0]);
            let before = self.narrow.len();
            self.narrow.extend(text);
            at += 2 * (self.narrow.len() - before);
            let goes_on = bytes.len() < at + 2 && !piece.last;
            if !goes_on {
                // The last character of the big end has its zero in front.
                self.narrow.extend(bytes.get(at));
            }
            self.decode(piece.level + 1, !goes_on, context, marks);
            if goes_on {
                break;
            }
            self.floor = piece.offset(at);
        }
        self.next = piece.offset(at);
    }

    fn decode(&mut self, level: u8, ended: bool, context: &mut Context<'_>, marks: &mut Vec<Mark>) {
        debug_assert!(level <= MAX_LEVEL, "the layer above asks");
        let Some(start) = self.start else { return };
        let child = self
            .child
            .get_or_insert_with(|| Box::new(Layer::new(level, false)));
        let first = marks.len();
        child.push(&self.narrow, context, marks);
        self.narrow.clear();
        if ended {
            child.end(context, marks);
            child.reset();
            self.start = None;
        }
        for mark in &mut marks[first..] {
            mark.offset = start + 2 * mark.offset;
        }
    }
}

/// A Latin character in the little end's order, or the low byte of one and the high one of the next.
fn is_wide(pair: &[u8]) -> bool {
    pair[0] != 0 && pair[1] == 0
}

/// Where a text is; where to look on in what comes is left in `at`.
fn find(bytes: &[u8], at: &mut usize) -> Option<usize> {
    while let Some(window) = bytes.get(*at..*at + WINDOW) {
        let pairs = |window: &[u8]| window.chunks_exact(2).all(is_wide);
        // Most bytes are told by the first look.
        if window[1] == 0 && pairs(window) {
            return Some(*at);
        }
        if window[2] == 0 && pairs(&window[1..WINDOW - 1]) {
            return Some(*at + 1);
        }
        *at += STRIDE;
    }
    *at = (*at).min(bytes.len());
    None
}
