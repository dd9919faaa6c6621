//! Repositories and archives that chance made: whatever they are, a scan runs nothing of theirs, ends, takes
//! little memory, and exits as it should. `SCAN_FUZZ=3000` makes so many; `SCAN_FUZZ_FROM` is the first seed.

mod archives;
mod repositories;
mod rng;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::cli::sandbox::{Ran, Sandbox};

use super::{
    hostile_git::{bounded, canary},
    token,
};
use rng::SeededRng;

/// How many are made where nobody says.
const SHORT: u64 = 60;

/// What a case has for each scan to find.
struct Case {
    args: Vec<String>,
    /// Whether it is whole, so that the token in it must be found.
    is_whole: bool,
}

/// A number that the environment may set.
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
fn whatever_is_scanned_nothing_runs_and_it_ends() {
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
    // For whoever reads the test's output.
    writeln!(
        io::stdout(),
        "{count} cases from {from}; scans by kind and exit code: {codes:?}; slowest: {slowest:?}"
    )
    .unwrap();
    // The control: there were cases of every outcome.
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
        // What is told steers no terminal.
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
