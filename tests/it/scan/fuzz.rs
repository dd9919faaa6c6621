//! Random repositories and archives: whatever they are, a scan runs nothing of theirs, ends, takes
//! little memory, and has the right exit code. `SCAN_FUZZ` is the number of cases, `SCAN_FUZZ_FROM` the first seed.

mod archives;
mod repositories;

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::Hasher,
    io::{self, Write},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    hostile_git::{bounded, canary},
    token,
};
use crate::cli::sandbox::{Ran, Sandbox};

/// The default number of cases.
const SHORT: u64 = 60;

struct Case {
    args: Vec<String>,
    /// Whether it is undamaged, so that the token in it must be found.
    is_whole: bool,
}

/// A number from the environment, or the default.
#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the tests, not of the program"
)]
fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap())
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn scan_runs_nothing_and_ends_on_random_repositories_and_archives() {
    let (count, from) = (number("SCAN_FUZZ", SHORT), number("SCAN_FUZZ_FROM", 0));
    let (next, codes) = (AtomicU64::new(from), Mutex::new(BTreeMap::new()));
    let slowest = Mutex::new((Duration::ZERO, 0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        break;
                    }
                    let started = Instant::now();
                    for (kind, code) in try_one(seed) {
                        *codes.lock().unwrap().entry((kind, code)).or_insert(0) += 1;
                    }
                    let mut slowest = slowest.lock().unwrap();
                    *slowest = (*slowest).max((started.elapsed(), seed));
                }
            });
        }
    });
    let (codes, slowest) = (codes.into_inner().unwrap(), slowest.into_inner().unwrap());
    // A summary in the test's output.
    writeln!(
        io::stdout(),
        "{count} cases from {from}; scans by kind and exit code: {codes:?}; slowest: {slowest:?}"
    )
    .unwrap();
    // The control: every kind of result occurred.
    for kind in ["repository", "archive"] {
        for code in [1, 14] {
            assert!(codes.contains_key(&(kind, code)), "{codes:?}");
        }
    }
}

fn try_one(seed: u64) -> Vec<(&'static str, i32)> {
    let mut rng = SeededRng::new(seed);
    let sandbox = Sandbox::empty();
    let (program, trace) = canary(&sandbox);
    let token = token("hallpass");
    let (kind, cases) = if seed.is_multiple_of(2) {
        (
            "repository",
            repositories::make(&mut rng, &sandbox, &program, &token),
        )
    } else {
        ("archive", archives::make(&mut rng, &sandbox, &token))
    };
    let scans = cases.iter().map(|case| {
        let args = case.args.iter().map(String::as_str);
        let args: Vec<_> = ["scan"].into_iter().chain(args).collect();
        let ran = bounded(&sandbox, &args);
        let shown = |ran: &Ran| format!("seed {seed}: {ran:?}");
        // 124 and 137 are a hang, 134 and 139 a crash.
        assert!([0, 1, 14].contains(&ran.code), "{}", shown(&ran));
        assert!(!trace.exists(), "something ran, {}", shown(&ran));
        if case.is_whole {
            assert_eq!(ran.code, 1, "{}", shown(&ran));
        }
        let secret = token.rsplit('_').next().unwrap();
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret));
        // The output has no control characters.
        let printed = [&*ran.stdout, &*ran.stderr].concat();
        let controls = printed.chars().filter(|char| char.is_control());
        assert!(
            controls.into_iter().all(|char| char == '\n'),
            "{}",
            shown(&ran)
        );
        (kind, ran.code)
    });
    scans.collect()
}

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
