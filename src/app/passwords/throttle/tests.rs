use super::*;

const START: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The `n`th of many addresses, each a place of its own.
fn elsewhere(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::from([198, high, low, 1])
}

fn throttle() -> Throttle {
    Throttle::new(&ThrottleLimits::default())
}

impl Throttle {
    async fn fails(&self, account: &str, ip: IpAddr, now: Timestamp) -> Result<(), Throttled> {
        self.admit(account, ip, now).await.map(drop)
    }

    async fn succeeds(&self, account: &str, ip: IpAddr, now: Timestamp) -> Result<(), Throttled> {
        self.admit(account, ip, now)
            .await
            .map(|attempt| attempt.succeed(now))
    }
}

#[tokio::test]
async fn from_the_fifth_failure_in_a_row_the_delay_doubles() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    let mut now = START;
    for _ in 0..4 {
        throttle.fails("alice", home, now).await.unwrap();
    }
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        throttle.fails("alice", home, now).await.unwrap();
        // What is refused is not charged.
        for _ in 0..3 {
            let refused = throttle.fails("alice", home, now).await.unwrap_err();
            let told = refused.retry_after.as_secs_f64();
            assert!(
                (told - f64::from(seconds)).abs() < 0.1,
                "{told} for {seconds}"
            );
        }
        now = now.plus(Duration::from_secs_f64(f64::from(seconds) + 0.1));
    }
}

#[tokio::test]
async fn a_success_ends_the_row_and_charges_nothing() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    for round in 0..50 {
        for _ in 0..4 {
            throttle.fails("alice", home, at(60 * round)).await.unwrap();
        }
        throttle
            .succeeds("alice", home, at(60 * round))
            .await
            .unwrap();
    }
    for _ in 0..1_000 {
        throttle.succeeds("bob", home, at(4_000)).await.unwrap();
    }
}

#[tokio::test]
async fn many_at_once_are_charged_before_they_are_checked() {
    let throttle = Throttle::new(&ThrottleLimits {
        turns: 100,
        ..ThrottleLimits::default()
    });
    let mut held = Vec::new();
    while let Ok(attempt) = throttle.admit("alice", ip("192.0.2.1"), START).await {
        held.push(attempt);
    }
    assert_eq!(held.len(), 5);
}

#[tokio::test]
async fn an_account_waits_a_minute_at_most_over_all_addresses_but_not_where_it_signed_in() {
    let throttle = throttle();
    throttle
        .succeeds("alice", ip("192.0.2.1"), START)
        .await
        .unwrap();
    let mut now = START;
    for n in 0..9 {
        throttle.fails("alice", elsewhere(n), now).await.unwrap();
    }
    for n in 9..40_u16 {
        throttle.fails("alice", elsewhere(n), now).await.unwrap();
        let refused = throttle
            .fails("alice", elsewhere(999), now)
            .await
            .unwrap_err();
        let expected = Duration::from_secs(1 << (n - 9).min(10)).min(Duration::from_mins(1));
        assert!(refused.retry_after.abs_diff(expected) < Duration::from_millis(1));
        throttle
            .succeeds("alice", ip("192.0.2.99"), now)
            .await
            .expect("the /24 is known");
        throttle
            .succeeds("bob", elsewhere(999), now)
            .await
            .expect("another account");
        now = now.plus(Duration::from_secs(61));
    }
}

#[tokio::test]
async fn a_place_is_spared_for_thirty_days() {
    for (days, spared) in [(29, true), (31, false)] {
        let throttle = throttle();
        throttle
            .succeeds("alice", ip("2001:db8::1"), START)
            .await
            .unwrap();
        let later = START.plus(Duration::from_hours(24 * days));
        for n in 0..10 {
            throttle.fails("alice", elsewhere(n), later).await.unwrap();
        }
        let admitted = throttle.fails("alice", ip("2001:db8::2"), later).await;
        assert_eq!(admitted.is_ok(), spared, "{days} days");
    }
}

#[tokio::test]
async fn an_address_fails_twenty_times_at_once_then_ten_a_minute() {
    let throttle = throttle();
    let fail = async |n: u32, ip: &str, now| {
        throttle
            .fails(&format!("u{n}"), ip.parse().unwrap(), now)
            .await
    };
    for n in 0..20 {
        fail(n, "::ffff:192.0.2.1", START).await.unwrap();
        fail(n, &format!("2001:db8::{n}"), START).await.unwrap();
    }
    let full = ["192.0.2.1", "2001:db8::ffff"];
    for ip in full {
        assert!(fail(20, ip, START).await.unwrap_err().retry_after > Duration::from_secs(5));
    }
    assert!(fail(21, "192.0.2.2", START).await.is_ok());
    assert!(fail(21, "2001:db8:0:1::", START).await.is_ok());
    for ip in full {
        assert!(fail(22, ip, at(7)).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_third_attempt_of_an_address_waits_for_its_turn() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    let first = throttle.admit("alice", home, START).await.unwrap();
    let _second = throttle.admit("bob", home, START).await.unwrap();
    let refused = throttle.fails("carol", home, START).await.unwrap_err();
    assert!(!refused.retry_after.is_zero());
    let (third, ()) = tokio::join!(throttle.fails("carol", home, START), async {
        first.succeed(START);
    });
    assert_eq!(third, Ok(()));
}

#[tokio::test]
async fn hanging_up_does_not_make_a_guess_free_but_withdrawing_does() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    for _ in 0..100 {
        throttle
            .admit("alice", home, START)
            .await
            .unwrap()
            .withdraw(START);
    }
    for _ in 0..5 {
        drop(throttle.admit("alice", home, START).await.unwrap());
    }
    assert!(throttle.fails("alice", home, START).await.is_err());
}

#[tokio::test]
async fn a_withdrawn_attempt_forgives_and_spares_nothing() {
    let throttle = throttle();
    for n in 0..10 {
        throttle.fails("alice", elsewhere(n), START).await.unwrap();
    }
    let now = at(1).plus(Duration::from_millis(1));
    throttle
        .admit("alice", elsewhere(20), now)
        .await
        .unwrap()
        .withdraw(now);
    throttle.fails("alice", elsewhere(20), now).await.unwrap();
    assert!(throttle.fails("alice", elsewhere(20), now).await.is_err());
}

#[tokio::test]
async fn a_hundred_thousand_names_leave_the_victims_entry() {
    // The second has no bucket that is not shared by thousands.
    for buckets in [ThrottleLimits::default().buckets, 16] {
        let throttle = Throttle::new(&ThrottleLimits {
            buckets,
            ..ThrottleLimits::default()
        });
        let victim = throttle.keyer.keys("victim", ip("192.0.2.1"));
        for _ in 0..13 {
            throttle.lock().charge(&victim, START);
        }
        let wait = || {
            throttle
                .lock()
                .check(&victim, START)
                .unwrap_err()
                .retry_after
        };
        let before = wait();
        assert_eq!(before.as_secs(), 256);
        for n in 0..100_000_u32 {
            let [a, b, c, d] = n.to_be_bytes();
            let from = IpAddr::from([0x20, 1, 0xd, 0xb8, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 1]);
            let name = format!("flood-{n}");
            // Collisions are refused by and by, which is no matter here.
            let _ = throttle.succeeds(&name, from, START).await;
            let _ = throttle.fails(&name, from, START).await;
        }
        let after = wait() + Duration::from_millis(100); // what the flood itself may have taken
        assert!(
            after >= before,
            "{after:?} after the flood, {before:?} before"
        );
    }
}

#[tokio::test]
async fn a_clock_set_back_neither_opens_nor_locks() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    for _ in 0..7 {
        throttle
            .lock()
            .charge(&throttle.keyer.keys("alice", home), at(0));
    }
    let back = START.minus(Duration::from_hours(24 * 365));
    let told = throttle
        .fails("alice", home, back)
        .await
        .unwrap_err()
        .retry_after;
    assert!(told.abs_diff(Duration::from_secs(4)) < Duration::from_millis(1));
    let soon = back.plus(Duration::from_millis(4_001));
    assert_eq!(throttle.fails("alice", home, soon).await, Ok(()));
}

#[test]
fn debug_shows_no_key() {
    assert!(format!("{:?}", Keyer::generate()).eq("Keyer"));
}
