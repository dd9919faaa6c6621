//! Finds tokens in UTF-16 of either byte order, with or without a byte order mark. In Latin text every other byte is zero.

use super::{Chunk, Context, Layer, MAX_LEVEL, Mark};

/// The distance of the offsets at which text is looked for: shorter than a token.
const STRIDE: usize = 64;

/// How many bytes are examined at such an offset.
const WINDOW: usize = 16;

/// Finds UTF-16 text, and passes its low bytes to the layer below.
#[derive(Debug, Default)]
pub(super) struct Utf16 {
    /// The offset up to which the layer is searched.
    next: u64,
    /// No further text begins before this offset.
    min_start: u64,
    /// The start of the text that continues at `next`.
    start: Option<u64>,
    child: Option<Box<Layer>>,
    narrow: Vec<u8>,
}

impl Utf16 {
    pub(super) fn reset(&mut self) {
        (self.next, self.min_start, self.start) = (0, 0, None);
        self.narrow.clear();
    }

    pub(super) fn search(
        &mut self,
        chunk: Chunk<'_>,
        context: &mut Context<'_>,
        marks: &mut Vec<Mark>,
    ) {
        let bytes = chunk.bytes;
        let mut at = chunk.index(self.next);
        loop {
            if self.start.is_none() {
                let min_start = chunk.index(self.min_start);
                let Some(found) = find(bytes, &mut at) else {
                    break;
                };
                let pairs = bytes[min_start..found].rchunks_exact(2);
                at = found - 2 * pairs.take_while(|pair| is_latin(pair)).count();
                self.start = Some(chunk.offset(at));
            }
            let pairs = bytes[at..].chunks_exact(2);
            let text = pairs.take_while(|pair| is_latin(pair)).map(|pair| pair[0]);
            let before = self.narrow.len();
            self.narrow.extend(text);
            at += 2 * (self.narrow.len() - before);
            let continues = bytes.len() < at + 2 && !chunk.last;
            if !continues {
                // In big-endian text the zero comes first, so the last character is left.
                self.narrow.extend(bytes.get(at));
            }
            self.decode(chunk.level + 1, !continues, context, marks);
            if continues {
                break;
            }
            self.min_start = chunk.offset(at);
        }
        self.next = chunk.offset(at);
    }

    fn decode(&mut self, level: u8, ended: bool, context: &mut Context<'_>, marks: &mut Vec<Mark>) {
        debug_assert!(level <= MAX_LEVEL, "the layer above checks it");
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

/// A Latin character in little-endian order; in big-endian order, the low byte of one and the high byte of the next.
fn is_latin(pair: &[u8]) -> bool {
    pair[0] != 0 && pair[1] == 0
}

/// Finds text from `at` on, and sets `at` to where the search continues.
fn find(bytes: &[u8], at: &mut usize) -> Option<usize> {
    while let Some(window) = bytes.get(*at..*at + WINDOW) {
        let pairs = |window: &[u8]| window.chunks_exact(2).all(is_latin);
        // This rules out most bytes at once.
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
