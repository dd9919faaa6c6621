//! 100,000 distinct user names, in a process of its own so that its memory is no other test's. Through the
//! throttle itself: with a hash each they would take an hour.

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

use super::memory;
use crate::test_app::START;

const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

#[test]
fn names_by_the_100_000_take_no_memory_and_push_out_nobody() {
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "floods::names::in_a_process_of_its_own"])
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
async fn in_a_process_of_its_own() {
    let flooded = Throttle::new(&ThrottleLimits::default());
    let undisturbed = Throttle::new(&ThrottleLimits::default());
    for throttle in [&flooded, &undisturbed] {
        // So that it is the failures in a row alone that slow the guesser.
        throttle.know("victim", network_of(HERE.into()), START, START);
        for _ in 0..5 {
            drop(throttle.admit("victim", HERE.into(), START).await.unwrap());
        }
    }
    // Once before measuring, so that every page of the tables has been written to.
    flood(&flooded, 0, 50_000).await;
    let before = memory::kib(process::id(), "RssAnon");
    flood(&flooded, 50_000, 150_000).await;
    let after = memory::kib(process::id(), "RssAnon");
    // An entry a name would be 16 bytes at the least, 1,600 KiB. The file's own pages (RssFile) are not the
    // throttle's: the kernel maps code in lots as it is first run.
    let table: HashMap<u64, u32> = (0..100_000).map(|n| (n, 1)).collect();
    let control = memory::kib(process::id(), "RssAnon");
    assert!(after <= before + 128, "{before} KiB, then {after} KiB");
    assert!(control > after + 128, "{} names are seen", table.len());

    let guessed = guesses_in_ten_minutes(&flooded).await;
    let alone = guesses_in_ten_minutes(&undisturbed).await;
    assert!(alone > 5, "{alone}: the comparison must be of something");
    assert!(
        guessed <= alone,
        "{guessed} after the flood, {alone} without it"
    );
}

/// A guess each for the names from `from` to `to`, each from an address of its own, 10 µs apart.
async fn flood(throttle: &Throttle, from: u32, to: u32) {
    for n in from..to {
        let now = START.plus(Duration::from_micros(10) * n);
        let ip = Ipv4Addr::from_bits(n << 8);
        // Refused ones too: what a full table does is no memory either.
        let _ = throttle
            .admit(&format!("somebody-{n}"), ip.into(), now)
            .await;
    }
}

/// How often the victim's guesser is let in who tries each second. A bucket that others joined may be free
/// earlier once, but not oftener.
async fn guesses_in_ten_minutes(throttle: &Throttle) -> usize {
    let mut admitted = 0;
    for second in 4..604 {
        let now = START.plus(Duration::from_secs(second));
        let attempt = throttle.admit("victim", HERE.into(), now).await;
        admitted += usize::from(attempt.is_ok());
    }
    admitted
}
