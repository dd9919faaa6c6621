//! Finds tokens in base64, and tokens that are broken over lines.
//!
//! Both are long runs of characters of the base64 alphabet, which includes a token's. The lines of a run may be separated
//! by what programs insert: indentation, quotes, `\n` in a string, `=` of quoted-printable. A run is decoded from each of
//! its first four characters, since text before base64 may belong to the alphabet, too (`path/`).

use crate::domain::token_search::{MAX_TOKEN_LEN, MIN_TOKEN_LEN, find_tokens};

use super::{Chunk, Context, Layer, Mark, MarkKind, to_u64};

/// The distance of the offsets at which runs are looked for. Small enough to find each line of at least 24 characters.
const STRIDE: usize = 16;

/// How many characters at such an offset must belong to the alphabet before the length of the line is measured.
const WINDOW: usize = 8;

/// The minimum length of a run's first line. Most words and most names in programs are shorter, and cost no more time.
const MIN_LINE: usize = STRIDE + WINDOW;

/// Maximum number of bytes between two lines of a run.
const MAX_SEPARATOR: usize = 64;

/// How many characters are decoded at once.
const BLOCK: usize = 4096;

/// The value of a byte in either base64 alphabet; `NONE` if it is in neither.
const VALUES: [u8; 256] = {
    let mut table = [NONE; 256];
    let alphabets = [
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    ];
    let mut value = 0;
    while value < 64 {
        table[alphabets[0][value as usize] as usize] = value;
        table[alphabets[1][value as usize] as usize] = value;
        value += 1;
    }
    table
};
const NONE: u8 = u8::MAX;

/// Finds runs, and decodes them for the layers below.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// The offset up to which the layer is searched.
    next: u64,
    /// No further run begins before this offset.
    min_start: u64,
    /// Whether the run continues at `next`.
    open: bool,
    run: Run,
    /// One for decoding from each of the first four characters.
    children: Vec<Layer>,
    decoded: Vec<u8>,
}

/// A run. It keeps only as much as a token may still need.
#[derive(Debug, Default)]
struct Run {
    /// Its offset in the layer.
    start: u64,
    /// Its length in characters, so far.
    len: u64,
    chars: Vec<u8>,
    /// The offset of `chars` in the layer.
    offset: u64,
    /// Indexes in `chars`, and how many bytes of separators were left out before them.
    separators: Vec<(usize, usize)>,
    /// The index up to which `chars` is searched for broken tokens.
    searched: usize,
    /// The index up to which `chars` is decoded.
    decoded: usize,
}

impl Encoded {
    pub(super) fn reset(&mut self) {
        (self.next, self.min_start, self.open) = (0, 0, false);
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
            if !self.open {
                let Some(found) = find(bytes, &mut at, chunk.last) else {
                    break;
                };
                at = run_start(bytes, chunk.index(self.min_start), found);
                self.run.begin(chunk.offset(at));
                self.open = true;
            }
            match self.run.take(bytes, &mut at, chunk.last) {
                Taken::All => {
                    self.flush(chunk.level + 1, true, context, marks);
                    self.open = false;
                    self.min_start = chunk.offset(at);
                }
                Taken::Block => self.flush(chunk.level + 1, false, context, marks),
                Taken::Chunk => break,
            }
        }
        self.next = chunk.offset(at);
    }

    /// Searches the new part of the run.
    fn flush(&mut self, level: u8, ended: bool, context: &mut Context<'_>, marks: &mut Vec<Mark>) {
        if self.run.len < to_u64(MIN_TOKEN_LEN) {
            return;
        }
        self.run.find_broken(marks);
        // Base64 makes a token a third longer.
        if self.run.len >= to_u64(MIN_TOKEN_LEN + MIN_TOKEN_LEN / 3) {
            context.within(&["base64".to_owned()], |context| {
                self.decode(level, ended, context, marks);
            });
        }
        self.run.forget();
    }

    fn decode(&mut self, level: u8, ended: bool, context: &mut Context<'_>, marks: &mut Vec<Mark>) {
        let run = &mut self.run;
        if self.children.is_empty() {
            self.children
                .extend((0..4).map(|_| Layer::new(level, false)));
        }
        if ended {
            // Pads the last group with zero bits, which do no harm.
            run.chars.extend([b'A'; 6]);
        }
        let len = (run.chars.len() - run.decoded).saturating_sub(3) / 4 * 4;
        let first = marks.len();
        for (skipped, child) in self.children.iter_mut().enumerate() {
            let from = run.decoded + skipped;
            self.decoded.clear();
            for group in run.chars[from..from + len].chunks_exact(4) {
                let bits = group.iter().fold(0, |bits, char| {
                    bits << 6 | u32::from(VALUES[usize::from(*char)])
                });
                self.decoded.extend(&bits.to_be_bytes()[1..]);
            }
            child.push(&self.decoded, context, marks);
            if ended {
                child.end(context, marks);
                child.reset();
            }
        }
        run.decoded += len;
        for mark in &mut marks[first..] {
            mark.offset = run.start;
            if let MarkKind::Token(encoding, _) = &mut mark.kind {
                *encoding = Some("base64");
            }
        }
    }
}

impl Run {
    /// Begins a new run at `start`.
    fn begin(&mut self, start: u64) {
        (self.start, self.offset, self.len) = (start, start, 0);
        (self.searched, self.decoded) = (0, 0);
        self.chars.clear();
        self.separators.clear();
    }

    /// Appends the part of the run in `bytes` from `at` on.
    fn take(&mut self, bytes: &[u8], at: &mut usize, last: bool) -> Taken {
        let before = self.chars.len();
        let taken = loop {
            let chars = bytes[*at..].iter().take_while(|byte| is_char(**byte));
            let len = chars.count();
            self.chars.extend_from_slice(&bytes[*at..*at + len]);
            *at += len;
            if self.chars.len() >= BLOCK + MAX_TOKEN_LEN {
                break Taken::Block;
            }
            if *at == bytes.len() {
                break if last { Taken::All } else { Taken::Chunk };
            }
            match separator(&bytes[*at..], last) {
                Separator::Between(len) => {
                    self.separators.push((self.chars.len(), len));
                    *at += len;
                }
                Separator::Underscore => {
                    self.chars.push(b'_');
                    self.separators.push((self.chars.len(), 2));
                    *at += 3;
                }
                Separator::Cut => break Taken::Chunk,
                Separator::None => break Taken::All,
            }
        };
        self.len += to_u64(self.chars.len() - before);
        taken
    }

    /// Finds tokens with a separator inside. All others are found in the layer itself.
    fn find_broken(&mut self, marks: &mut Vec<Mark>) {
        let (separators, offset) = (&self.separators, self.offset);
        if !separators.is_empty() {
            find_tokens(&self.chars, self.searched, |start, token| {
                let inside = start + 1..start + token.expose().len();
                if separators.iter().any(|(at, _)| inside.contains(at)) {
                    let before = separators.iter().filter(|(at, _)| *at <= start);
                    let left_out: usize = before.map(|(_, len)| len).sum();
                    marks.push(Mark {
                        offset: offset + to_u64(start + left_out),
                        kind: MarkKind::Token(None, token),
                    });
                }
            });
        }
        self.searched = self.chars.len();
    }

    /// Drops what is no longer needed.
    fn forget(&mut self) {
        let gone = self
            .decoded
            .min(self.searched.saturating_sub(MAX_TOKEN_LEN));
        self.chars.drain(..gone);
        self.searched -= gone;
        self.decoded -= gone;
        self.offset += to_u64(gone);
        self.separators.retain_mut(|(at, len)| {
            let kept = *at > gone;
            if kept {
                *at -= gone;
            } else {
                self.offset += to_u64(*len);
            }
            kept
        });
    }
}

/// How far a run was appended.
enum Taken {
    All,
    /// A block to decode.
    Block,
    /// All bytes so far.
    Chunk,
}

/// What follows the characters of a run.
enum Separator {
    /// This many bytes that separate two lines.
    Between(usize),
    /// An underscore, as quoted-printable and URLs may encode it.
    Underscore,
    /// Undecided without more bytes.
    Cut,
    None,
}

fn separator(bytes: &[u8], last: bool) -> Separator {
    if matches!(bytes, [b'=' | b'%', b'5', b'F' | b'f', ..]) {
        return Separator::Underscore;
    }
    let (mut len, mut lines) = (0, 0);
    while len <= MAX_SEPARATOR {
        let step = match bytes[len..] {
            [] | [b'=' | b'%' | b'\\'] | [b'=' | b'%', b'5'] if !last => return Separator::Cut,
            [b'\n', ..] => {
                lines += 1;
                1
            }
            [b'\\', b'n', ..] => {
                lines += 1;
                2
            }
            [b'\\', b'r', ..] => 2,
            [b'=', b'\r' | b'\n', ..]
            | [
                b' ' | b'\t' | b'\r' | b'\\' | b'"' | b'\'' | b'>' | b'#' | b'*' | b',',
                ..,
            ] => 1,
            _ if lines > 0 && len <= MAX_SEPARATOR => return Separator::Between(len),
            _ => return Separator::None,
        };
        len += step;
    }
    Separator::None
}

/// The start of the run around `found`, at `min_start` or later.
fn run_start(bytes: &[u8], min_start: usize, found: usize) -> usize {
    let mut start = found;
    loop {
        let chars = bytes[min_start..start].iter().rev();
        start -= chars.take_while(|byte| is_char(**byte)).count();
        if let [b'=' | b'%', b'5', b'F' | b'f'] = bytes[start.max(min_start + 1) - 1..][..3] {
            start -= 1;
            continue;
        }
        let before = bytes[min_start..start].iter().rev().take(MAX_SEPARATOR);
        let between = before.take_while(|byte| !is_char(**byte)).count();
        let end = start - between;
        // The letter of `\n` looks like the first character of a line.
        let is_escape = matches!(bytes[start], b'n' | b'r') && bytes[..start].ends_with(b"\\");
        let line = start + usize::from(is_escape);
        let joined = between > 0
            && end > min_start
            && is_char(bytes[end - 1])
            && matches!(separator(&bytes[end..=line], true), Separator::Between(len) if end + len == line);
        if !joined {
            return start;
        }
        start = end;
    }
}

const fn is_char(byte: u8) -> bool {
    VALUES[byte as usize] != NONE
}

/// Finds a run from `at` on, and sets `at` to where the search continues.
fn find(bytes: &[u8], at: &mut usize, last: bool) -> Option<usize> {
    while let Some(window) = bytes.get(*at..*at + WINDOW) {
        // Checks all eight without a branch for each, which processors would often mispredict.
        let all = window
            .iter()
            .fold(0, |all, byte| all | VALUES[usize::from(*byte)]);
        if all != NONE {
            let (before, rest) = (&bytes[..*at], &bytes[*at + WINDOW..]);
            let before = before.iter().rev().take(MIN_LINE);
            let before = before.take_while(|byte| is_char(**byte)).count();
            let behind = rest.iter().take(MIN_LINE);
            let behind = behind.take_while(|byte| is_char(**byte)).count();
            if before + WINDOW + behind >= MIN_LINE {
                return Some(*at);
            }
            // More bytes are needed to measure the line.
            if behind == rest.len() && !last {
                return None;
            }
        }
        *at += STRIDE;
    }
    *at = (*at).min(bytes.len());
    None
}
