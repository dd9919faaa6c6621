use proptest::prelude::*;

use super::{super::keys::Keyer, *};

const LIMITS: QueueLimits = QueueLimits {
    places: 60,
    late_secs: 30,
};

/// The limit under simulation.
trait Limit {
    fn wait(&mut self, site: Key, now: Tick) -> Duration;
    fn guess(&mut self, site: Key, now: Tick);
}

/// The queue of one account.
struct OfAlice(GuessQueues, Key);

impl Limit for OfAlice {
    fn wait(&mut self, site: Key, now: Tick) -> Duration {
        self.0.wait(self.1, site, now)
    }

    fn guess(&mut self, site: Key, now: Tick) {
        let _ = self.0.use_second(self.1, site, now);
    }
}

/// The control: one guess a second for whoever asks first, without a queue.
struct FirstCome {
    next: Tick,
}

impl Limit for FirstCome {
    fn wait(&mut self, _: Key, now: Tick) -> Duration {
        self.next.since(now)
    }

    fn guess(&mut self, _: Key, now: Tick) {
        self.next = start(now.count(SECOND) + 1);
    }
}

fn keyer() -> (Keyer, OfAlice) {
    let keyer = Keyer::generate();
    let account = keyer.account("alice");
    (keyer, OfAlice(GuessQueues::new(LIMITS, 1), account))
}

fn site(keyer: &Keyer, n: u16) -> Key {
    let [high, low] = n.to_be_bytes();
    keyer.keys("alice", [198, high, low, 1].into()).site
}

fn millis(n: u64) -> Tick {
    start(100).plus(Duration::from_millis(n))
}

/// The outcome of a simulation.
#[derive(Debug, Default)]
struct FloodResult {
    /// When each obeying site got a guess.
    obeying: Vec<Vec<Tick>>,
    /// How many guesses the polling sites got.
    polling: usize,
}

/// Runs for `seconds`. The `polling` sites ask ten times a second; the `obeying` ones wait as long as they were told,
/// rounded up to whole seconds as for a client. Every admitted attempt fails, and its site asks again.
fn simulate(
    queue: &mut impl Limit,
    keyer: &Keyer,
    polling: u16,
    obeying: u16,
    seconds: u64,
) -> FloodResult {
    let mut outcome = FloodResult {
        obeying: vec![Vec::new(); obeying.into()],
        polling: 0,
    };
    let pollers: Vec<_> = (0..polling).map(|n| site(keyer, n)).collect();
    // They start within the first second, at different times.
    let mut obedient: Vec<_> = (0..obeying)
        .map(|n| {
            (
                site(keyer, polling + n),
                50 + u64::from(n) * 1_000 / u64::from(obeying),
            )
        })
        .collect();
    for now in (0..seconds * 1_000).step_by(10) {
        if now % 100 == 0 {
            for poller in &pollers {
                if queue.wait(*poller, millis(now)).is_zero() {
                    queue.guess(*poller, millis(now));
                    outcome.polling += 1;
                }
            }
        }
        for ((site, due), had) in obedient.iter_mut().zip(&mut outcome.obeying) {
            if *due / 10 * 10 != now {
                continue;
            }
            let wait = queue.wait(*site, millis(now));
            if wait.is_zero() {
                queue.guess(*site, millis(now));
                had.push(millis(now));
            }
            let told = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            *due = now + told.max(1) * 1_000;
        }
    }
    outcome
}

#[test]
fn obeying_site_gets_its_turn_however_many_others_poll() {
    for polling in [1, 24, 58] {
        let (keyer, mut queue) = keyer();
        let outcome = simulate(&mut queue, &keyer, polling, 1, 600);
        let turn = Duration::from_secs(u64::from(polling) + 2);
        let first = outcome.obeying[0][0].since(millis(0));
        assert!(first <= turn, "{polling} others: {first:?}");
        let had = outcome.obeying[0].len();
        let fair = 600 / (usize::from(polling) + 2);
        assert!(had >= fair - 1, "{polling} others: {had} turns of {fair}");
        assert!(outcome.polling + had <= 601, "a guess a second");

        // The control: without a queue, the pollers leave nothing to the obeying site.
        let mut unfair = FirstCome { next: millis(0) };
        let outcome = simulate(&mut unfair, &keyer, polling, 1, 600);
        assert_eq!(outcome.obeying[0], []);
    }
}

#[test]
fn polling_gains_nothing_when_the_queue_is_full() {
    let (keyer, mut queue) = keyer();
    let outcome = simulate(&mut queue, &keyer, 100, 100, 3_600);
    let obeying: usize = outcome.obeying.iter().map(Vec::len).sum();
    let all = outcome.polling + obeying;
    assert!((3_000..=3_601).contains(&all), "{all} guesses in an hour");
    assert!(obeying * 3 >= all, "{obeying} of {all}");
    let had = outcome.obeying.iter().filter(|had| had.len() >= 3).count();
    assert!(had >= 90, "{had} of 100 had three turns in an hour");
}

#[test]
fn late_site_keeps_its_place_for_a_limited_time() {
    let (keyer, mut queue) = keyer();
    let (one, two) = (site(&keyer, 1), site(&keyer, 2));
    queue.guess(one, millis(0));
    assert_eq!(queue.wait(one, millis(0)), SECOND);
    assert_eq!(queue.wait(two, millis(200)), Duration::from_millis(1_800));
    for late in [0, 29_900] {
        assert_eq!(queue.wait(two, millis(2_000 + late)), Duration::ZERO);
    }
    queue.guess(two, millis(31_900));
    // The place of `one` was second 1, and expires at 31.
    assert_eq!(queue.wait(one, millis(31_900)), Duration::ZERO);
    queue.guess(one, millis(31_900));
    assert_eq!(queue.wait(one, millis(31_900)), Duration::from_millis(100));
}

#[test]
fn each_site_has_one_place_and_the_queue_has_sixty() {
    let (keyer, mut queue) = keyer();
    queue.guess(site(&keyer, 0), millis(0));
    for n in 1..=60 {
        let expected = SECOND * u32::from(n);
        for _ in 0..3 {
            assert_eq!(queue.wait(site(&keyer, n), millis(0)), expected);
        }
    }
    for n in 61..1_000 {
        let wait = queue.wait(site(&keyer, n), millis(0));
        assert_eq!(wait, SECOND * 60, "they take part in the lottery");
    }
    let one = &queue.0.queues[0];
    assert_eq!((one.places.len(), one.tickets.len()), (60, 60));
    // Three places became free, and go to the three best tickets.
    let mut best: Vec<_> = one.tickets.iter().map(|t| (t.number, t.site)).collect();
    best.sort_unstable();
    queue.wait(site(&keyer, 1), millis(3_000));
    let drawn: Vec<_> = queue.0.queues[0].places[60..]
        .iter()
        .map(|p| p.site)
        .collect();
    assert_eq!(drawn, [best[0].1, best[1].1, best[2].1]);
    // An empty queue takes no memory.
    queue.wait(site(&keyer, 1), millis(300_000));
    assert_eq!(queue.0.queues[0].places.capacity(), 0);
}

#[test]
fn right_and_unchecked_passwords_use_up_no_second() {
    let (keyer, OfAlice(mut queues, account)) = keyer();
    let (one, two) = (site(&keyer, 1), site(&keyer, 2));
    let used = queues.use_second(account, one, millis(0));
    queues.give_back(&used, millis(10));
    assert!(
        queues.wait(account, two, millis(20)).is_zero(),
        "it was right"
    );
    let used = queues.use_second(account, two, millis(20));
    assert!(!queues.wait(account, one, millis(30)).is_zero());
    queues.give_back(&used, millis(40));
    assert!(
        !queues.wait(account, one, millis(50)).is_zero(),
        "it has a place"
    );
    let used = queues.use_second(account, two, millis(2_000));
    queues.keep_reservation(&used, millis(2_100));
    assert!(
        queues.wait(account, two, millis(2_200)).is_zero(),
        "not checked"
    );
    let _ = queues.use_second(account, two, millis(2_200));
    assert!(!queues.wait(account, two, millis(2_200)).is_zero());
}

#[derive(Clone, Copy, Debug)]
enum End {
    Wrong,
    Right,
    NotChecked,
}

proptest! {
    /// Under any sequence: at most one wrong guess a second, no reservation moves back, and the memory is bounded.
    #[test]
    fn one_guess_a_second_and_reservations_are_kept(
        steps in prop::collection::vec((0..80_u16, 0..1_500_u64, 0..3_u8), 1..400),
    ) {
        let (keyer, OfAlice(mut queues, account)) = keyer();
        let mut promised = std::collections::HashMap::new();
        let (mut now, mut guesses) = (0, 0_u64);
        for (n, pause, end) in steps {
            now += pause;
            let site = site(&keyer, n);
            let wait = queues.wait(account, site, millis(now));
            if let Some(then) = promised.get(&n).copied() {
                let told = millis(now).plus(wait);
                let in_time = millis(now) <= start(0).plus(then).plus(SECOND * 29);
                prop_assert!(!in_time || told <= millis(now).max(start(0).plus(then)));
            }
            let has_place = queues.queues[0].reserved_by(site.tag());
            match has_place {
                Some(place) => promised.insert(n, Duration::from_secs(place.second)),
                None => promised.remove(&n),
            };
            if wait.is_zero() {
                promised.remove(&n);
                let used = queues.use_second(account, site, millis(now));
                match [End::Wrong, End::Right, End::NotChecked][usize::from(end)] {
                    End::Wrong => guesses += 1,
                    End::Right => queues.give_back(&used, millis(now)),
                    End::NotChecked => queues.keep_reservation(&used, millis(now)),
                }
            }
            prop_assert!(guesses <= now / 1_000 + 1, "{guesses} in {now} ms");
            let queue = &queues.queues[0];
            prop_assert!(queue.places.len() <= 180 && queue.tickets.len() <= 60);
        }
    }
}
