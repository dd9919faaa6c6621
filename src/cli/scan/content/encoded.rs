//! Base64, and tokens that are broken over lines.
//!
//! Both are long runs of the characters of base64 and of tokens, whose lines may be joined by what programs
//! put there: indentation, quotes, `\n` in a string, `=` of quoted-printable. A run is decoded from each of
//! its first four characters, since what stands before base64 may belong to its alphabet too (`path/`).

use crate::domain::token_search::{MAX_TOKEN_LEN, MIN_TOKEN_LEN, find_tokens};

use super::{Context, Layer, Mark, Piece, What, to_u64};

/// A run is looked for at every so many bytes, so that each line of at least 24 is met.
const STRIDE: usize = 16;

/// So many characters make it worth asking how long the line is.
const WINDOW: usize = 8;

/// A run has a line of so many characters. Most words, and most names in a program, are shorter: they cost no more.
const LINE: usize = STRIDE + WINDOW;

/// The most that may stand between two lines of a run.
const MAX_SEAM: usize = 64;

/// So many characters are decoded at once.
const BLOCK: usize = 4096;

/// What a byte is worth in either alphabet of base64; `NONE`: it is in neither.
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

/// Looks for runs, and decodes them for the layers below.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// What is searched up to, in the layer.
    next: u64,
    /// What belongs to no run that comes begins before this.
    floor: u64,
    /// What begins at `next` belongs to the run.
    open: bool,
    run: Run,
    /// From each of the first four characters.
    children: Vec<Layer>,
    decoded: Vec<u8>,
}

/// A run, of which as much is kept as a token may still need.
#[derive(Debug, Default)]
struct Run {
    /// Where it begins in the layer.
    start: u64,
    /// How many characters it has.
    len: u64,
    chars: Vec<u8>,
    /// Where in the layer the first of `chars` is.
    offset: u64,
    /// Before which of `chars` how many bytes are left out.
    seams: Vec<(usize, usize)>,
    /// Up to which of `chars` broken tokens are looked for.
    searched: usize,
    /// Up to which they are decoded.
    decoded: usize,
}

impl Encoded {
    pub(super) fn reset(&mut self) {
        (self.next, self.floor, self.open) = (0, 0, false);
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
            if !self.open {
                let Some(found) = find(bytes, &mut at, piece.last) else {
                    break;
                };
                at = run_start(bytes, piece.index(self.floor), found);
                self.run.begin(piece.offset(at));
                self.open = true;
            }
            match self.run.take(bytes, &mut at, piece.last) {
                Taken::All => {
                    self.flush(piece.level + 1, true, context, marks);
                    self.open = false;
                    self.floor = piece.offset(at);
                }
                Taken::Block => self.flush(piece.level + 1, false, context, marks),
                Taken::Piece => break,
            }
        }
        self.next = piece.offset(at);
    }

    /// Searches what of the run was not yet.
    fn flush(&mut self, level: u8, ended: bool, context: &mut Context<'_>, marks: &mut Vec<Mark>) {
        if self.run.len < to_u64(MIN_TOKEN_LEN) {
            return;
        }
        self.run.find_broken(marks);
        // A token as base64 is a third longer than it is.
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
            // The last group may be short; bits of zero do no harm.
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
            if let What::Token(encoding, _) = &mut mark.what {
                *encoding = Some("base64");
            }
        }
    }
}

impl Run {
    /// Makes it one that begins at `start`.
    fn begin(&mut self, start: u64) {
        (self.start, self.offset, self.len) = (start, start, 0);
        (self.searched, self.decoded) = (0, 0);
        self.chars.clear();
        self.seams.clear();
    }

    /// Takes what `bytes` have of it from `at` on.
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
                break if last { Taken::All } else { Taken::Piece };
            }
            match seam(&bytes[*at..], last) {
                Seam::Between(len) => {
                    self.seams.push((self.chars.len(), len));
                    *at += len;
                }
                Seam::Underscore => {
                    self.chars.push(b'_');
                    self.seams.push((self.chars.len(), 2));
                    *at += 3;
                }
                Seam::Cut => break Taken::Piece,
                Seam::None => break Taken::All,
            }
        };
        self.len += to_u64(self.chars.len() - before);
        taken
    }

    /// Tokens that stand across a seam: all others are found without.
    fn find_broken(&mut self, marks: &mut Vec<Mark>) {
        let (seams, offset) = (&self.seams, self.offset);
        if !seams.is_empty() {
            find_tokens(&self.chars, self.searched, |start, token| {
                let inside = start + 1..start + token.expose().len();
                if seams.iter().any(|(at, _)| inside.contains(at)) {
                    let before = seams.iter().filter(|(at, _)| *at <= start);
                    let left_out: usize = before.map(|(_, len)| len).sum();
                    marks.push(Mark {
                        offset: offset + to_u64(start + left_out),
                        what: What::Token(None, token),
                    });
                }
            });
        }
        self.searched = self.chars.len();
    }

    /// Drops what is not needed any more.
    fn forget(&mut self) {
        let gone = self
            .decoded
            .min(self.searched.saturating_sub(MAX_TOKEN_LEN));
        self.chars.drain(..gone);
        self.searched -= gone;
        self.decoded -= gone;
        self.offset += to_u64(gone);
        self.seams.retain_mut(|(at, len)| {
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

/// How much of a run was taken.
enum Taken {
    All,
    /// As much as is decoded at once.
    Block,
    /// What there is of it, so far.
    Piece,
}

/// What stands behind the characters of a run.
enum Seam {
    /// So many bytes that belong between two lines.
    Between(usize),
    /// An underscore, as quoted-printable and URLs may write it.
    Underscore,
    /// It may be either, which what comes will tell.
    Cut,
    None,
}

fn seam(bytes: &[u8], last: bool) -> Seam {
    if matches!(bytes, [b'=' | b'%', b'5', b'F' | b'f', ..]) {
        return Seam::Underscore;
    }
    let (mut len, mut lines) = (0, 0);
    while len <= MAX_SEAM {
        let step = match bytes[len..] {
            [] | [b'=' | b'%' | b'\\'] | [b'=' | b'%', b'5'] if !last => return Seam::Cut,
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
            _ if lines > 0 && len <= MAX_SEAM => return Seam::Between(len),
            _ => return Seam::None,
        };
        len += step;
    }
    Seam::None
}

/// Where the run begins that `found` is in, not before `floor`.
fn run_start(bytes: &[u8], floor: usize, found: usize) -> usize {
    let mut start = found;
    loop {
        let chars = bytes[floor..start].iter().rev();
        start -= chars.take_while(|byte| is_char(**byte)).count();
        if let [b'=' | b'%', b'5', b'F' | b'f'] = bytes[start.max(floor + 1) - 1..][..3] {
            start -= 1;
            continue;
        }
        let before = bytes[floor..start].iter().rev().take(MAX_SEAM);
        let between = before.take_while(|byte| !is_char(**byte)).count();
        let end = start - between;
        // The letter of `\n` looks like the run's first.
        let is_escape = matches!(bytes[start], b'n' | b'r') && bytes[..start].ends_with(b"\\");
        let line = start + usize::from(is_escape);
        let joined = between > 0
            && end > floor
            && is_char(bytes[end - 1])
            && matches!(seam(&bytes[end..=line], true), Seam::Between(len) if end + len == line);
        if !joined {
            return start;
        }
        start = end;
    }
}

const fn is_char(byte: u8) -> bool {
    VALUES[byte as usize] != NONE
}

/// Where a run is; where to look on in what comes is left in `at`.
fn find(bytes: &[u8], at: &mut usize, last: bool) -> Option<usize> {
    while let Some(window) = bytes.get(*at..*at + WINDOW) {
        // All eight without a branch for each: which is the first that is none, a processor guesses wrong too often.
        let all = window
            .iter()
            .fold(0, |all, byte| all | VALUES[usize::from(*byte)]);
        if all != NONE {
            let (before, rest) = (&bytes[..*at], &bytes[*at + WINDOW..]);
            let before = before.iter().rev().take(LINE);
            let before = before.take_while(|byte| is_char(**byte)).count();
            let behind = rest.iter().take(LINE);
            let behind = behind.take_while(|byte| is_char(**byte)).count();
            if before + WINDOW + behind >= LINE {
                return Some(*at);
            }
            // How long the line is, what comes will tell.
            if behind == rest.len() && !last {
                return None;
            }
        }
        *at += STRIDE;
    }
    *at = (*at).min(bytes.len());
    None
}
