//! What a connection is waiting for, and until when.
//!
//! The socket tells it what comes in, the service when a request begins and ends; the socket asks it when
//! to give up. It holds no timer of its own.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{sync::Notify, time::Instant};

use crate::server::limits::Limits;

/// The state of one connection.
pub(super) struct Pulse {
    state: Mutex<State>,
    reader: AtomicWaker,
    /// The connection should be ended in good order.
    pub(super) leave: Notify,
    /// The connection must make room at once.
    pub(super) evicted: Notify,
}

struct State {
    /// Requests whose reply is not finished.
    active: usize,
    /// Reply bodies with something handed over that the peer has not made room for.
    unread: usize,
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
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                active: 0,
                unread: 0,
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
        }
    }

    /// Since when nothing is under way; `None` while something is.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.active == 0).then_some(state.since)
    }

    /// Bytes have come in.
    pub(super) fn heard(&self, bytes: &[u8]) {
        let mut state = self.lock();
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
    }

    /// A request has begun: its header is whole.
    pub(super) fn begin(&self) {
        let mut state = self.lock();
        state.active += 1;
        state.has_asked = true;
        state.head_since = None;
    }

    /// A reply is finished, or given up.
    pub(super) fn end(&self) {
        let mut state = self.lock();
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

/// How long a peer that was asked to leave may stay without a request. hyper alone would wait for the rest
/// of a half-sent header.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn due(pulse: &Pulse) -> Option<(u64, AtEnd)> {
        let due = pulse.due(&Limits::default());
        due.map(|(at, end)| (at.duration_since(Instant::now()).as_secs(), end))
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_time() {
        let pulse = Pulse::new();
        assert_eq!(due(&pulse), Some((5, AtEnd::Cut)), "first byte");
        pulse.heard(b"P");
        tokio::time::advance(Duration::from_secs(2)).await;
        pulse.heard(b"OST");
        assert_eq!(
            due(&pulse),
            Some((3, AtEnd::Cut)),
            "a dripping header gains no time"
        );
        pulse.begin();
        assert_eq!(due(&pulse), None, "a request has times of its own");
        pulse.handed_over();
        assert_eq!(due(&pulse), Some((10, AtEnd::Cut)), "a stalled reader");
        pulse.taken();
        pulse.end();
        assert_eq!(due(&pulse), Some((60, AtEnd::Leave)), "idle");
        pulse.heard(b"G");
        assert_eq!(due(&pulse), Some((5, AtEnd::Cut)), "the next header");
    }

    #[tokio::test(start_paused = true)]
    async fn http2_pings_are_no_header_and_do_not_keep_a_connection() {
        let pulse = Pulse::new();
        pulse.heard(b"PR");
        pulse.heard(b"I * HTTP/2.0");
        assert_eq!(due(&pulse), Some((5, AtEnd::Leave)), "the first request");
        pulse.begin();
        pulse.end();
        assert_eq!(due(&pulse), Some((60, AtEnd::Leave)));
        tokio::time::advance(Duration::from_secs(50)).await;
        pulse.heard(b"ping");
        assert_eq!(due(&pulse), Some((10, AtEnd::Leave)));
        pulse.ask_to_leave();
        assert_eq!(due(&pulse), Some((1, AtEnd::Cut)));
    }
}
