//! 100,000 distinct user names, in a separate process so that other tests' memory does not count. Calls the
//! throttle directly: hashing 100,000 passwords would take an hour.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    process::{self, Command},
    time::Duration,
};

use hallpass::{
    app::limits::{Throttle, ThrottleLimits},
    domain::address::network_of,
};

use super::kib;
use crate::test_app::START;

const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

#[test]
fn hundred_thousand_names_take_no_memory_and_evict_nobody() {
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "floods::names::in_a_separate_process"])
        .args(["--ignored", "--nocapture"])
        .output()
        .unwrap();
    let (stdout, stderr) = (&ran.stdout, &ran.stderr);
    assert!(
        ran.status.success() && String::from_utf8_lossy(stdout).contains("1 passed"),
        "{}{}",
        String::from_utf8_lossy(stdout),
        String::from_utf8_lossy(stderr),
    );
}

#[tokio::test]
#[ignore = "the test above runs it"]
async fn in_a_separate_process() {
    let flooded = Throttle::new(&ThrottleLimits::default());
    let undisturbed = Throttle::new(&ThrottleLimits::default());
    for throttle in [&flooded, &undisturbed] {
        // So that only the consecutive failures slow the guesser down.
        throttle.know("victim", network_of(HERE.into()), START, START);
        for _ in 0..5 {
            drop(throttle.admit("victim", HERE.into(), START).await.unwrap());
        }
    }
    // Once before measuring, so that every page of the tables is resident.
    flood(&flooded, 0, 50_000).await;
    let before = kib(process::id(), "RssAnon");
    flood(&flooded, 50_000, 150_000).await;
    let after = kib(process::id(), "RssAnon");
    // One entry per name would take at least 16 bytes, 1,600 KiB in total. The executable's pages (RssFile) are not the
    // throttle's: the kernel maps code when it first runs.
    let table: HashMap<u64, u32> = (0..100_000).map(|n| (n, 1)).collect();
    let control = kib(process::id(), "RssAnon");
    assert!(after <= before + 128, "{before} KiB, then {after} KiB");
    assert!(
        control > after + 128,
        "{} names, the control, are measurable",
        table.len()
    );

    let guessed = guesses_in_ten_minutes(&flooded).await;
    let alone = guesses_in_ten_minutes(&undisturbed).await;
    assert!(alone > 5, "only {alone} guesses to compare with");
    assert!(
        guessed <= alone,
        "{guessed} after the flood, {alone} without it"
    );
}

/// One guess for each name from `from` to `to`, each from a different address, 10 µs apart.
async fn flood(throttle: &Throttle, from: u32, to: u32) {
    for n in from..to {
        let now = START.plus(Duration::from_micros(10) * n);
        let ip = Ipv4Addr::from_bits(n << 8);
        // Refused guesses count, too: a full table must not take memory either.
        let _ = throttle
            .admit(&format!("somebody-{n}"), ip.into(), now)
            .await;
    }
}

/// How many guesses at the victim's password are admitted at one try per second. A bucket that others share may be
/// free earlier once, but not more often.
async fn guesses_in_ten_minutes(throttle: &Throttle) -> usize {
    let mut admitted = 0;
    for second in 4..604 {
        let now = START.plus(Duration::from_secs(second));
        let attempt = throttle.admit("victim", HERE.into(), now).await;
        admitted += usize::from(attempt.is_ok());
    }
    admitted
}
