//! 100,000 distinct user names, in a process of its own so that its memory is no other test's. Through the
//! throttle itself: with a hash each they would take an hour.

use std::{
    net::Ipv4Addr,
    process::{self, Command},
    time::Duration,
};

use hallpass::app::passwords::{Throttle, ThrottleLimits, Throttled};

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
    let stdout = String::from_utf8_lossy(&ran.stdout);
    assert!(stdout.contains("1 passed"), "{stdout}");
}

#[tokio::test]
#[ignore = "the test above runs it"]
async fn in_a_process_of_its_own() {
    let throttle = Throttle::new(&ThrottleLimits::default());
    let mut now = START;
    let mut guess = async |name: &str, ip: Ipv4Addr| {
        now = now.plus(Duration::from_micros(10));
        throttle.admit(name, ip.into(), now).await.map(drop)
    };
    for _ in 0..5 {
        guess("victim", HERE).await.unwrap();
    }
    let throttled = |result| matches!(result, Err(Throttled { .. }));
    assert!(throttled(guess("victim", HERE).await));
    // Once before measuring, so that all that is allocated lazily is there.
    let mut flood = async |from: u32, to: u32| {
        for n in from..to {
            // Refused ones too: what a full table does is no memory either.
            let _ = guess(&format!("somebody-{n}"), Ipv4Addr::from_bits(n << 8)).await;
        }
    };
    flood(0, 50_000).await;
    let before = memory::kib(process::id(), "VmRSS");
    flood(50_000, 150_000).await;
    let after = memory::kib(process::id(), "VmRSS");
    let now = START.plus(Duration::from_millis(1_600));
    // Its second is over by then; the failures are not forgotten: the next is the sixth, and waits 2 s. Who
    // shares a bucket with others waits longer, which is no milder.
    let mut wait = Duration::ZERO;
    for _ in 0..2 {
        match throttle.admit("victim", HERE.into(), now).await.map(drop) {
            Ok(()) => {}
            Err(throttled) => wait = throttled.retry_after,
        }
    }
    assert!(wait > Duration::from_secs(1), "{wait:?}");
    // An entry a name would be 16 bytes at the least, 1,600 KiB; the kernel counts resident pages in lots.
    assert!(after <= before + 1_200, "{before} KiB, then {after} KiB");
}
