use super::*;
use crate::domain::address::network_of;

const START: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The `n`th of many addresses, each in its own site.
fn elsewhere(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::from([198, high, low, 1])
}

fn throttle() -> Throttle {
    Throttle::new(&ThrottleLimits::default())
}

impl Throttle {
    /// Makes the network of `ip` known to `account`, so that its queue does not matter.
    fn spare(&self, account: &str, ip: IpAddr, now: Timestamp) {
        self.know(account, network_of(ip), now, now);
    }

    fn charge_pair(&self, keys: &Keys, now: Timestamp) {
        let mut state = self.lock();
        let tick = state.ticks.at(now);
        let _ = state.pairs.charge(keys.pair, tick);
    }

    /// `None`: it waits for a permit.
    fn admit_now(&self, account: &str, ip: IpAddr) -> Option<Result<Attempt<'_>, Throttled>> {
        futures_util::FutureExt::now_or_never(self.admit(account, ip, START))
    }

    async fn fails(&self, account: &str, ip: IpAddr, now: Timestamp) -> Result<(), Throttled> {
        self.admit(account, ip, now).await.map(drop)
    }

    async fn succeeds(&self, account: &str, ip: IpAddr, now: Timestamp) -> Result<(), Throttled> {
        self.admit(account, ip, now).await.map(|attempt| {
            attempt.succeed(now);
        })
    }
}

#[tokio::test]
async fn delay_doubles_from_the_fifth_failure_in_a_row() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    let mut now = START;
    throttle.spare("alice", home, now);
    for _ in 0..4 {
        throttle.fails("alice", home, now).await.unwrap();
    }
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        throttle.fails("alice", home, now).await.unwrap();
        // A refused attempt is not charged to the account.
        let refused = throttle.fails("alice", home, now).await.unwrap_err();
        let told = refused.retry_after.as_secs_f64();
        assert!(
            (told - f64::from(seconds)).abs() < 0.1,
            "{told} for {seconds}"
        );
        now = now.plus(Duration::from_secs_f64(f64::from(seconds) + 0.1));
    }
}

#[tokio::test]
async fn success_clears_the_failures_and_costs_nothing() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    throttle.spare("alice", home, START);
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
async fn parallel_attempts_are_charged_before_they_are_checked() {
    for (is_known, expected) in [(true, 5), (false, 1)] {
        let throttle = Throttle::new(&ThrottleLimits {
            checked: 100,
            ..ThrottleLimits::default()
        });
        let home = ip("192.0.2.1");
        if is_known {
            throttle.spare("alice", home, START);
        }
        let mut held = Vec::new();
        while let Ok(attempt) = throttle.admit("alice", home, START).await {
            held.push(attempt);
        }
        assert_eq!(held.len(), expected, "known: {is_known}");
    }
}

#[tokio::test]
async fn unknown_networks_share_one_guess_a_second_and_known_ones_are_exempt() {
    let throttle = throttle();
    throttle
        .succeeds("alice", ip("192.0.2.1"), START)
        .await
        .unwrap();
    throttle.fails("alice", elsewhere(0), at(1)).await.unwrap();
    for n in 1..=60 {
        let refused = throttle.fails("alice", elsewhere(n), at(1)).await;
        assert_eq!(refused.unwrap_err().retry_after.as_secs(), u64::from(n));
    }
    throttle
        .succeeds("alice", ip("192.0.2.99"), at(1))
        .await
        .expect("the /24 is known");
    throttle
        .succeeds("bob", elsewhere(999), at(1))
        .await
        .expect("another account");
    // Each gets its turn, in the order of asking.
    for n in 1..=60 {
        let now = at(1 + u64::from(n));
        throttle.fails("alice", elsewhere(n), now).await.unwrap();
        let next = throttle.fails("alice", elsewhere(61), now).await;
        assert!(next.is_err(), "it is told of the 61st second");
    }
}

#[tokio::test]
async fn network_is_known_for_thirty_days_across_a_restart() {
    for (days, spared) in [(29, true), (31, false)] {
        for restarts in [false, true] {
            let mut throttle = throttle();
            let home = ip("2001:db8::1");
            let news = throttle.admit("alice", home, START).await.unwrap();
            assert!(news.succeed(START), "worth writing down");
            let later = START.plus(Duration::from_hours(24 * days));
            if restarts {
                throttle = self::throttle();
                throttle.know("alice", network_of(home), START, later);
            }
            throttle.fails("alice", elsewhere(0), later).await.unwrap();
            let admitted = throttle.fails("alice", ip("2001:db8::2"), later).await;
            assert_eq!(admitted.is_ok(), spared, "{days} days, {restarts}");
        }
    }
}

#[tokio::test]
async fn forgotten_networks_stay_unknown_after_a_sign_in_under_way() {
    let throttle = throttle();
    let (home, office) = (ip("192.0.2.1"), ip("198.51.100.1"));
    throttle.succeeds("alice", home, START).await.unwrap();
    let under_way = throttle.admit("alice", office, START).await.unwrap();
    throttle.forget_networks("alice");
    assert!(!under_way.succeed(START));
    for (known, second) in [(home, 1), (office, 3)] {
        let attempt = throttle.admit("alice", known, at(second)).await.unwrap();
        assert!(!attempt.is_from_known_network());
    }
}

#[tokio::test]
async fn address_has_a_burst_of_twenty_then_ten_a_minute() {
    let throttle = throttle();
    let fail = async |n: u32, address: &str, now| {
        let name = format!("u{n}");
        throttle.spare(&name, ip(address), now);
        throttle.fails(&name, ip(address), now).await
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

#[tokio::test]
async fn refused_attempts_count_against_the_address() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    throttle.spare("alice", home, START);
    for _ in 0..5 {
        throttle.fails("alice", home, START).await.unwrap();
    }
    for _ in 0..15 {
        throttle.fails("alice", home, START).await.unwrap_err();
    }
    throttle.spare("bob", home, START);
    let refused = throttle.succeeds("bob", home, START).await.unwrap_err();
    assert!(refused.retry_after > Duration::from_secs(5));
    // A refusal by the address limit itself costs nothing, so that a polling neighbour locks nobody out.
    for second in 1..6 {
        let polled = throttle.succeeds("bob", home, at(second)).await;
        polled.unwrap_err();
    }
    throttle.succeeds("bob", home, at(6)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn third_attempt_of_an_address_waits_for_its_turn() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    for name in ["alice", "bob", "carol"] {
        throttle.spare(name, home, START);
    }
    let first = throttle.admit("alice", home, START).await.unwrap();
    let _second = throttle.admit("bob", home, START).await.unwrap();
    let refused = throttle.fails("carol", home, START).await.unwrap_err();
    assert!(!refused.retry_after.is_zero());
    let (third, ()) = tokio::join!(throttle.fails("carol", home, START), async {
        first.succeed(START);
    });
    assert_eq!(third, Ok(()));
}

/// This holds however many attempts are under way from other addresses.
#[tokio::test]
async fn known_networks_only_wait_for_their_own_address() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    throttle.spare("alice", home, START);
    let mut held = Vec::new();
    // An attempt that has to wait for others is pending.
    let try_now = |name: String, from| throttle.admit_now(&name, from);
    for n in 0..u16::MAX {
        if let Some(Ok(attempt)) = try_now(format!("u{n}"), elsewhere(n)) {
            held.push(attempt);
        }
    }
    let strangers = (0..10).filter(|n| matches!(try_now(format!("x{n}"), home), Some(Ok(_))));
    assert_eq!(strangers.count(), 0, "the control: {} are held", held.len());
    assert!(try_now("alice".to_owned(), home).unwrap().is_ok());
}

#[tokio::test]
async fn dropped_attempt_stays_charged_and_withdrawn_one_does_not() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    for _ in 0..100 {
        throttle
            .admit("alice", home, START)
            .await
            .unwrap()
            .withdraw(START);
    }
    throttle.spare("alice", home, START);
    for _ in 0..5 {
        drop(throttle.admit("alice", home, START).await.unwrap());
    }
    assert!(throttle.fails("alice", home, START).await.is_err());
}

#[tokio::test]
async fn withdrawn_attempt_keeps_its_place_and_makes_no_network_known() {
    let throttle = throttle();
    throttle.fails("alice", elsewhere(0), START).await.unwrap();
    let refused = throttle.fails("alice", elsewhere(1), START).await;
    assert_eq!(refused.unwrap_err().retry_after, Duration::from_secs(1));
    throttle
        .admit("alice", elsewhere(1), at(1))
        .await
        .unwrap()
        .withdraw(at(1));
    throttle
        .fails("alice", elsewhere(2), at(1))
        .await
        .unwrap_err();
    throttle.fails("alice", elsewhere(1), at(3)).await.unwrap();
    throttle
        .fails("alice", elsewhere(1), at(3))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn flood_of_a_hundred_thousand_names_never_shortens_a_delay() {
    // With 16 buckets, each is shared by thousands.
    for buckets in [ThrottleLimits::default().buckets, 16] {
        let throttle = Throttle::new(&ThrottleLimits {
            buckets,
            ..ThrottleLimits::default()
        });
        let victim = throttle.keyer.keys("victim", ip("192.0.2.1"));
        for _ in 0..13 {
            throttle.charge_pair(&victim, START);
        }
        let wait = || {
            let mut state = throttle.lock();
            let tick = state.ticks.at(START);
            state.pairs.wait(victim.pair, tick)
        };
        let before = wait();
        assert_eq!(before.as_secs(), 256);
        for n in 0..100_000_u32 {
            let [a, b, c, d] = n.to_be_bytes();
            let from = IpAddr::from([0x20, 1, 0xd, 0xb8, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 1]);
            let name = format!("flood-{n}");
            // Colliding names are refused after a while, which does not matter here.
            let _ = throttle.succeeds(&name, from, START).await;
            let _ = throttle.fails(&name, from, START).await;
        }
        let after = wait() + Duration::from_millis(100); // tolerance for the duration of the flood
        assert!(
            after >= before,
            "{after:?} after the flood, {before:?} before"
        );
    }
}

#[tokio::test]
async fn clock_set_back_neither_ends_nor_prolongs_a_delay() {
    let throttle = throttle();
    let home = ip("192.0.2.1");
    throttle.spare("alice", home, START);
    for _ in 0..7 {
        throttle.charge_pair(&throttle.keyer.keys("alice", home), at(0));
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
