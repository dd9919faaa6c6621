//! What a connection is waiting for, and until when.
//!
//! The socket tells it what comes in, the service when a request begins and ends; the socket asks it when
//! to give up. It holds no timer of its own.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use ipnet::IpNet;
use tokio::{sync::Notify, time::Instant};

use super::{budget::Held, shared::Shared};
use crate::{
    metrics::{Bound, Outcome},
    server::limits::Limits,
};

/// The state of one connection.
pub(super) struct Pulse {
    state: Mutex<State>,
    reader: AtomicWaker,
    /// The connection should be ended in good order.
    pub(super) leave: Notify,
    /// The connection must make room at once.
    pub(super) evicted: Notify,
    /// The network that it counts for, if it counts for one.
    pub(super) network: Option<IpNet>,
    pub(super) shared: Arc<Shared>,
    /// Whether somebody was authenticated on it.
    is_authenticated: AtomicBool,
    is_closed: AtomicBool,
}

struct State {
    /// Requests whose reply is not finished.
    active: usize,
    /// Reply bodies with something handed over that the peer has not made room for.
    unread: usize,
    /// Since when there is a request without a pause.
    busy_since: Instant,
    /// What the requests hold in memory, and what was heard of the next.
    held: Held,
    /// Bytes that came in, and of which no request and no part of a body has come yet.
    unclaimed_bytes: usize,
    /// Whether it was told to make room.
    is_evicted: bool,
    /// The last time that a request or a part of a reply ended, or the first byte came.
    since: Instant,
    /// Whether there ever was a request.
    has_asked: bool,
    /// When the first byte of the request came whose header is not whole yet. HTTP/1 alone.
    head_since: Option<Instant>,
    /// The connection's first bytes, which tell HTTP/2.
    opening: [u8; OPENING.len()],
    heard_bytes: usize,
    /// When the connection was asked to end.
    leaving_since: Option<Instant>,
}

/// How the HTTP/2 preface begins, and no method of HTTP/1.
const OPENING: [u8; 3] = *b"PRI";

/// What to do when the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// End the connection in good order: nothing is under way.
    Leave,
    /// End it at once.
    Cut,
}

impl Pulse {
    pub(super) fn new(network: Option<IpNet>, shared: Arc<Shared>) -> Self {
        Self {
            state: Mutex::new(State {
                active: 0,
                unread: 0,
                busy_since: Instant::now(),
                held: Held::default(),
                unclaimed_bytes: 0,
                is_evicted: false,
                since: Instant::now(),
                has_asked: false,
                head_since: None,
                opening: [0; OPENING.len()],
                heard_bytes: 0,
                leaving_since: None,
            }),
            reader: AtomicWaker::new(),
            leave: Notify::new(),
            evicted: Notify::new(),
            network,
            shared,
            is_authenticated: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Since when the connection is of no use to anybody known: nothing is under way, or only what nobody has shown
    /// a credential for, and that for some time. `None`: it must not be ended for the sake of another.
    pub(super) fn evictable_since(&self) -> Option<Instant> {
        let state = self.lock();
        if state.active == 0 {
            return Some(state.since);
        }
        let is_evictable = !self.is_authenticated()
            && state.busy_since.elapsed() >= self.shared.limits.eviction_min_age;
        is_evictable.then_some(state.busy_since)
    }

    /// Tells it to make room.
    pub(super) fn evict(&self) {
        self.lock().is_evicted = true;
        self.evicted.notify_one();
    }

    /// Whether it was told to make room, and has not yet.
    pub(super) fn is_evicted(&self) -> bool {
        self.lock().is_evicted
    }

    /// Whether it makes room, as it was told: not if a request has begun since.
    pub(super) fn makes_room(&self) -> bool {
        let is_evictable = self.evictable_since().is_some();
        self.lock().is_evicted = is_evictable;
        is_evictable
    }

    /// Somebody was authenticated.
    pub(super) fn note_authenticated(&self) {
        // It is written once and then only read, on all cores.
        if !self.is_authenticated() {
            self.is_authenticated.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.is_authenticated.load(Ordering::Relaxed)
    }

    /// The socket is gone, whatever tasks are left of its requests.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Bytes have come in. Whether there is memory for them: a head is kept until it is whole.
    pub(super) fn heard(&self, bytes: &[u8]) -> bool {
        let mut state = self.lock();
        let unclaimed = state.unclaimed_bytes + bytes.len();
        let more = beyond_the_buffer(unclaimed) - beyond_the_buffer(state.unclaimed_bytes);
        if more > 0 && !self.add(&mut state, more) {
            return false;
        }
        state.unclaimed_bytes = unclaimed;
        if state.heard_bytes == 0 {
            state.since = Instant::now();
        }
        for byte in bytes
            .iter()
            .take(OPENING.len().saturating_sub(state.heard_bytes))
        {
            let index = state.heard_bytes;
            state.opening[index] = *byte;
            state.heard_bytes += 1;
        }
        if state.opening == OPENING {
            state.head_since = None;
        } else if state.active == 0 && state.head_since.is_none() && !bytes.is_empty() {
            state.head_since = Some(Instant::now());
        }
        true
    }

    /// A request has begun: its header is whole, and holds so much memory. Whether there is room for it.
    pub(super) fn begin(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        if state.active == 0 {
            state.busy_since = Instant::now();
        }
        state.active += 1;
        state.has_asked = true;
        state.head_since = None;
        self.claim(&mut state);
        self.add(&mut state, bytes)
    }

    /// A part of a body has come, or of a reply. Whether there is room for it.
    pub(super) fn hold(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        self.claim(&mut state);
        self.add(&mut state, bytes)
    }

    fn add(&self, state: &mut State, bytes: usize) -> bool {
        let shared = &self.shared;
        let fits = (state.held).add(bytes, &shared.budget, self.is_authenticated());
        if !fits {
            shared.load_shed.count(Bound::Memory, Outcome::Refused);
        }
        fits
    }

    /// That is no longer held.
    pub(super) fn release(&self, bytes: usize) {
        self.lock().held.remove(bytes, &self.shared.budget);
    }

    /// What came in has become a request or a part of one.
    fn claim(&self, state: &mut State) {
        let unclaimed = std::mem::take(&mut state.unclaimed_bytes);
        let held = beyond_the_buffer(unclaimed);
        if held > 0 {
            state.held.remove(held, &self.shared.budget);
        }
    }

    /// A reply is finished, or given up, and so much memory free again.
    pub(super) fn end(&self, bytes: usize) {
        let mut state = self.lock();
        state.held.remove(bytes, &self.shared.budget);
        self.claim(&mut state);
        state.active -= 1;
        state.since = Instant::now();
        let idle_h2 = state.active == 0 && state.opening == OPENING;
        drop(state);
        // In HTTP/2 replies end in tasks of their own, while the socket may be asleep without a timer.
        if idle_h2 {
            self.reader.wake();
        }
    }

    /// A part of a reply was handed over, and more is to come.
    pub(super) fn handed_over(&self) {
        let mut state = self.lock();
        state.unread += 1;
        state.since = Instant::now();
        drop(state);
        self.reader.wake();
    }

    /// The peer has made room for more.
    pub(super) fn taken(&self) {
        let mut state = self.lock();
        state.unread -= 1;
        state.since = Instant::now();
        self.claim(&mut state);
    }

    /// The socket has nothing to read: wake it when that it waits for changes.
    pub(super) fn register(&self, waker: &Waker) {
        self.reader.register(waker);
    }

    /// Until when the socket may have nothing to read.
    pub(super) fn due(&self, limits: &Limits) -> Option<(Instant, AtEnd)> {
        let state = self.lock();
        if state.active > 0 {
            return (state.unread > 0).then(|| (state.since + limits.write_timeout, AtEnd::Cut));
        }
        if let Some(asked) = state.leaving_since {
            return Some((state.since.max(asked) + GRACE, AtEnd::Cut));
        }
        Some(match (state.heard_bytes, state.head_since) {
            (0, _) => (state.since + limits.first_byte_timeout, AtEnd::Cut),
            (_, Some(since)) => (since + limits.header_timeout, AtEnd::Cut),
            // HTTP/2 that only says hello holds a connection as cheaply as half a header does.
            _ if !state.has_asked => (state.since + limits.header_timeout, AtEnd::Leave),
            _ => (state.since + limits.idle_timeout, AtEnd::Leave),
        })
    }

    /// Asks for an end in good order; what is under way goes on.
    pub(super) fn ask_to_leave(&self) {
        self.lock().leaving_since.get_or_insert_with(Instant::now);
        self.leave.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a connection reads into before it can tell what it is: every one has it.
const BUFFER_BYTES: usize = 32 * 1024;

const fn beyond_the_buffer(unclaimed_bytes: usize) -> usize {
    unclaimed_bytes.saturating_sub(BUFFER_BYTES)
}

/// How long a peer that was asked to leave may stay without a request. hyper alone would wait for the rest
/// of a half-sent header.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::LoadShed;

    fn pulse() -> Pulse {
        pulse_within(Limits::default())
    }

    fn pulse_within(limits: Limits) -> Pulse {
        let shared = Shared::new(Arc::new(limits), LoadShed::default());
        Pulse::new(None, Arc::new(shared))
    }

    fn due(pulse: &Pulse) -> Option<(u64, AtEnd)> {
        let due = pulse.due(&Limits::default());
        due.map(|(at, end)| (at.duration_since(Instant::now()).as_secs(), end))
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_time() {
        let pulse = pulse();
        assert_eq!(due(&pulse), Some((5, AtEnd::Cut)), "first byte");
        pulse.heard(b"P");
        tokio::time::advance(Duration::from_secs(2)).await;
        pulse.heard(b"OST");
        assert_eq!(
            due(&pulse),
            Some((3, AtEnd::Cut)),
            "a dripping header gains no time"
        );
        pulse.begin(0);
        assert_eq!(due(&pulse), None, "a request has times of its own");
        pulse.handed_over();
        assert_eq!(due(&pulse), Some((10, AtEnd::Cut)), "a stalled reader");
        pulse.taken();
        pulse.end(0);
        assert_eq!(due(&pulse), Some((60, AtEnd::Leave)), "idle");
        pulse.heard(b"G");
        assert_eq!(due(&pulse), Some((5, AtEnd::Cut)), "the next header");
    }

    #[tokio::test(start_paused = true)]
    async fn http2_pings_are_no_header_and_do_not_keep_a_connection() {
        let pulse = pulse();
        pulse.heard(b"PR");
        pulse.heard(b"I * HTTP/2.0");
        assert_eq!(due(&pulse), Some((5, AtEnd::Leave)), "the first request");
        pulse.begin(0);
        pulse.end(0);
        assert_eq!(due(&pulse), Some((60, AtEnd::Leave)));
        tokio::time::advance(Duration::from_secs(50)).await;
        pulse.heard(b"ping");
        assert_eq!(due(&pulse), Some((10, AtEnd::Leave)));
        pulse.ask_to_leave();
        assert_eq!(due(&pulse), Some((1, AtEnd::Cut)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_was_authenticated_keeps_a_busy_connection_from_being_evicted() {
        let pulse = pulse();
        assert!(pulse.evictable_since().is_some(), "idle");
        pulse.begin(0);
        assert!(pulse.evictable_since().is_none(), "just begun");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(pulse.evictable_since().is_some(), "without a credential");
        pulse.note_authenticated();
        assert!(pulse.evictable_since().is_none());
        pulse.end(0);
        assert!(pulse.evictable_since().is_some(), "idle again");
    }

    #[test]
    fn a_head_that_is_not_whole_costs_memory_and_a_whole_one_instead_of_it() {
        let limits = Limits {
            connection_memory_bytes: 1024,
            anonymous_memory_bytes: 0,
            authenticated_memory_bytes: 0,
            max_body_bytes: 256,
            ..Limits::default()
        };
        let pulse = pulse_within(limits);
        let most = BUFFER_BYTES + 2048;
        assert!(
            pulse.heard(&vec![b'x'; most]),
            "its own, and what four bodies need"
        );
        assert!(!pulse.heard(b"x"), "beyond the budget");
        assert!(pulse.begin(1500));
        assert!(pulse.hold(500) && !pulse.hold(100));
        pulse.end(1500);
        pulse.release(500);
        assert!(pulse.heard(&vec![b'x'; most]));
    }
}
