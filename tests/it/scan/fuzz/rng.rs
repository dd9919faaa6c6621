//! A seeded random number generator.

use std::{collections::hash_map::DefaultHasher, hash::Hasher};

pub(super) struct SeededRng {
    seed: u64,
    drawn: u64,
}

impl SeededRng {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// Any number.
    pub(super) fn number(&mut self) -> u64 {
        self.drawn += 1;
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write_u64(self.drawn);
        hasher.finish()
    }

    /// A number below `end`, which is not zero.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let number = self.number() % u64::try_from(end).unwrap();
        usize::try_from(number).unwrap()
    }

    /// Once in `n`.
    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            bytes.extend(self.number().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// Flips bits, or cuts off, doubles, moves or overwrites a part.
    pub(super) fn damage(&mut self, content: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if content.is_empty() {
                return;
            }
            let (at, len) = (self.below(content.len()), self.below(64));
            let end = (at + len).min(content.len());
            match self.below(6) {
                0 => content[at] ^= 1 << self.below(8),
                1 => content.truncate(at),
                2 => drop(content.drain(at..end)),
                3 => {
                    let part = content[at..end].to_vec();
                    let to = self.below(content.len());
                    content.splice(to..to, part);
                }
                4 => {
                    let noise = self.bytes(end - at);
                    content[at..end].copy_from_slice(&noise);
                }
                _ => content[at..end].fill(*self.pick(&[0, 0xff, b'A', b'_'])),
            }
        }
    }
}
