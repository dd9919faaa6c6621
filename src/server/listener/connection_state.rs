//! What a connection is waiting for, and until when.
//!
//! The socket reports incoming bytes, the service reports when requests begin and end, and the socket asks for its
//! deadline. There is no timer here.

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

use super::memory_budget::{MemoryReservation, Shared};
use crate::metrics::{Bound, ShedAction};

pub(super) struct ConnectionState {
    state: Mutex<State>,
    reader: AtomicWaker,
    /// Notified when the connection should shut down gracefully.
    pub(super) shutdown: Notify,
    /// Notified when the connection should close at once, for another one.
    pub(super) evicted: Notify,
    /// The network that it is counted for; `None` for trusted proxies and local processes.
    pub(super) network: Option<IpNet>,
    pub(super) shared: Arc<Shared>,
    /// Whether a request on it has authenticated.
    is_authenticated: AtomicBool,
    is_closed: AtomicBool,
}

struct State {
    /// Requests whose reply is not finished.
    active: usize,
    /// Chunks of replies that the peer has not accepted yet.
    pending_chunks: usize,
    /// Since when requests have been in flight without a pause.
    busy_since: Instant,
    /// Memory of the requests in flight, and of unparsed input.
    memory: MemoryReservation,
    /// Bytes received that hyper has not yet turned into a request or a part of a body.
    unparsed_bytes: usize,
    is_evicted: bool,
    /// When a request, a part of a reply or the first byte was last seen.
    last_activity: Instant,
    had_request: bool,
    /// When the first byte of an incomplete header arrived (HTTP/1 only).
    head_since: Option<Instant>,
    /// The connection's first bytes, which identify HTTP/2.
    first_bytes: [u8; PREFACE_START.len()],
    first_bytes_len: usize,
    shutdown_since: Option<Instant>,
}

/// How the HTTP/2 preface begins; no HTTP/1 method does.
const PREFACE_START: [u8; 3] = *b"PRI";

/// What to do at the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeoutAction {
    /// Shut down gracefully: no request is in flight.
    Shutdown,
    /// Close at once.
    Abort,
}

impl ConnectionState {
    pub(super) fn new(network: Option<IpNet>, shared: Arc<Shared>) -> Self {
        Self {
            state: Mutex::new(State {
                active: 0,
                pending_chunks: 0,
                busy_since: Instant::now(),
                memory: MemoryReservation::default(),
                unparsed_bytes: 0,
                is_evicted: false,
                last_activity: Instant::now(),
                had_request: false,
                head_since: None,
                first_bytes: [0; PREFACE_START.len()],
                first_bytes_len: 0,
                shutdown_since: None,
            }),
            reader: AtomicWaker::new(),
            shutdown: Notify::new(),
            evicted: Notify::new(),
            network,
            shared,
            is_authenticated: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Since when the connection has been idle, or busy with anonymous requests only, for at least
    /// `eviction_min_age`. `None`: it must not be evicted.
    pub(super) fn evictable_since(&self) -> Option<Instant> {
        let state = self.lock();
        if state.active == 0 {
            return Some(state.last_activity);
        }
        let is_evictable = !self.is_authenticated()
            && state.busy_since.elapsed() >= self.shared.limits.eviction_min_age;
        is_evictable.then_some(state.busy_since)
    }

    pub(super) fn evict(&self) {
        self.lock().is_evicted = true;
        self.evicted.notify_one();
    }

    /// Whether it was told to close and has not yet.
    pub(super) fn is_evicted(&self) -> bool {
        self.lock().is_evicted
    }

    /// Whether the eviction still applies: not if a request has begun since.
    pub(super) fn confirm_eviction(&self) -> bool {
        let is_evictable = self.evictable_since().is_some();
        self.lock().is_evicted = is_evictable;
        is_evictable
    }

    pub(super) fn note_authenticated(&self) {
        // Written only once: all cores read it.
        if !self.is_authenticated() {
            self.is_authenticated.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.is_authenticated.load(Ordering::Relaxed)
    }

    /// The transport's handshake is complete: the time for the first byte begins.
    pub(super) fn handshake_done(&self) {
        self.lock().last_activity = Instant::now();
    }

    /// The socket is gone, though tasks of its requests may still run.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Bytes have arrived. Returns whether there is memory for them: hyper buffers a head until it is complete.
    pub(super) fn receive(&self, bytes: &[u8]) -> bool {
        let mut state = self.lock();
        let unparsed = state.unparsed_bytes + bytes.len();
        let more = beyond_buffer(unparsed) - beyond_buffer(state.unparsed_bytes);
        if more > 0 && !self.try_grow(&mut state, more) {
            return false;
        }
        state.unparsed_bytes = unparsed;
        if state.first_bytes_len == 0 {
            state.last_activity = Instant::now();
        }
        for byte in bytes
            .iter()
            .take(PREFACE_START.len().saturating_sub(state.first_bytes_len))
        {
            let index = state.first_bytes_len;
            state.first_bytes[index] = *byte;
            state.first_bytes_len += 1;
        }
        if state.first_bytes == PREFACE_START {
            state.head_since = None;
        } else if state.active == 0 && state.head_since.is_none() && !bytes.is_empty() {
            state.head_since = Some(Instant::now());
        }
        true
    }

    /// A request has begun, with a head of `bytes`. Returns whether there is memory for it.
    pub(super) fn begin_request(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        if state.active == 0 {
            state.busy_since = Instant::now();
        }
        state.active += 1;
        state.had_request = true;
        state.head_since = None;
        self.clear_unparsed(&mut state);
        self.try_grow(&mut state, bytes)
    }

    /// Reserves memory for a part of a body or a reply, if there is any.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        self.clear_unparsed(&mut state);
        self.try_grow(&mut state, bytes)
    }

    fn try_grow(&self, state: &mut State, bytes: usize) -> bool {
        let shared = &self.shared;
        let fits = state
            .memory
            .try_grow(bytes, &shared.budget, self.is_authenticated());
        if !fits {
            shared.load_shed.count(Bound::Memory, ShedAction::Refused);
        }
        fits
    }

    /// Releases memory.
    pub(super) fn release(&self, bytes: usize) {
        self.lock().memory.shrink(bytes, &self.shared.budget);
    }

    /// hyper has turned the input into a request or a part of one.
    fn clear_unparsed(&self, state: &mut State) {
        let unparsed = std::mem::take(&mut state.unparsed_bytes);
        let held = beyond_buffer(unparsed);
        if held > 0 {
            state.memory.shrink(held, &self.shared.budget);
        }
    }

    /// A reply is finished or abandoned; `bytes` of memory are released.
    pub(super) fn end_request(&self, bytes: usize) {
        let mut state = self.lock();
        state.memory.shrink(bytes, &self.shared.budget);
        self.clear_unparsed(&mut state);
        state.active -= 1;
        state.last_activity = Instant::now();
        let idle_h2 = state.active == 0 && state.first_bytes == PREFACE_START;
        drop(state);
        // HTTP/2 replies end in tasks of their own, while the socket may be asleep without a timer.
        if idle_h2 {
            self.reader.wake();
        }
    }

    /// A chunk of a reply was handed to hyper.
    pub(super) fn chunk_sent(&self) {
        let mut state = self.lock();
        state.pending_chunks += 1;
        state.last_activity = Instant::now();
        drop(state);
        self.reader.wake();
    }

    /// The peer has accepted a chunk.
    pub(super) fn chunk_taken(&self) {
        let mut state = self.lock();
        state.pending_chunks -= 1;
        state.last_activity = Instant::now();
        self.clear_unparsed(&mut state);
    }

    /// The socket has nothing to read: it is woken when its deadline may have changed.
    pub(super) fn register(&self, waker: &Waker) {
        self.reader.register(waker);
    }

    /// How long the socket may wait for input, and what to do then.
    pub(super) fn deadline(&self) -> Option<(Instant, TimeoutAction)> {
        use TimeoutAction::{Abort, Shutdown};

        let (state, limits) = (self.lock(), &self.shared.limits);
        if state.active > 0 {
            return (state.pending_chunks > 0)
                .then(|| (state.last_activity + limits.write_timeout, Abort));
        }
        if let Some(since) = state.shutdown_since {
            return Some((state.last_activity.max(since) + SHUTDOWN_GRACE, Abort));
        }
        Some(match (state.first_bytes_len, state.head_since) {
            (0, _) => (state.last_activity + limits.first_byte_timeout, Abort),
            (_, Some(since)) => (since + limits.header_timeout, Abort),
            // An HTTP/2 connection with nothing but a preface costs its peer as little as half an HTTP/1 header.
            _ if !state.had_request => (state.last_activity + limits.header_timeout, Shutdown),
            _ => (state.last_activity + limits.idle_timeout, Shutdown),
        })
    }

    /// Begins a graceful shutdown; requests in flight continue.
    pub(super) fn begin_shutdown(&self) {
        self.lock().shutdown_since.get_or_insert_with(Instant::now);
        self.shutdown.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Size of the read buffer that hyper gives every connection.
const BUFFER_BYTES: usize = 32 * 1024;

const fn beyond_buffer(unparsed_bytes: usize) -> usize {
    unparsed_bytes.saturating_sub(BUFFER_BYTES)
}

/// How long a peer may stay without a request after a graceful shutdown began. hyper alone would wait for the rest
/// of a half-sent header.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::{
        TimeoutAction::{Abort, Shutdown},
        *,
    };
    use crate::{metrics::LoadShed, server::limits::Limits};

    fn connection() -> ConnectionState {
        connection_within(Limits::default())
    }

    fn connection_within(limits: Limits) -> ConnectionState {
        let shared = Shared::new(Arc::new(limits), LoadShed::default());
        ConnectionState::new(None, Arc::new(shared))
    }

    fn deadline(connection: &ConnectionState) -> Option<(u64, TimeoutAction)> {
        let deadline = connection.deadline();
        deadline.map(|(at, end)| (at.duration_since(Instant::now()).as_secs(), end))
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_timeout() {
        let connection = connection();
        assert_eq!(deadline(&connection), Some((5, Abort)), "first byte");
        connection.receive(b"P");
        tokio::time::advance(Duration::from_secs(2)).await;
        connection.receive(b"OST");
        assert_eq!(deadline(&connection), Some((3, Abort)), "not extended");
        connection.begin_request(0);
        assert_eq!(deadline(&connection), None, "busy");
        connection.chunk_sent();
        assert_eq!(deadline(&connection), Some((10, Abort)), "a stalled reader");
        connection.chunk_taken();
        connection.end_request(0);
        assert_eq!(deadline(&connection), Some((60, Shutdown)), "idle");
        connection.receive(b"G");
        assert_eq!(deadline(&connection), Some((5, Abort)), "the next header");
    }

    #[tokio::test(start_paused = true)]
    async fn http2_pings_do_not_keep_a_connection_open() {
        let connection = connection();
        connection.receive(b"PR");
        connection.receive(b"I * HTTP/2.0");
        assert_eq!(deadline(&connection), Some((5, Shutdown)), "no request yet");
        connection.begin_request(0);
        connection.end_request(0);
        assert_eq!(deadline(&connection), Some((60, Shutdown)));
        tokio::time::advance(Duration::from_secs(50)).await;
        connection.receive(b"ping");
        assert_eq!(deadline(&connection), Some((10, Shutdown)));
        connection.begin_shutdown();
        assert_eq!(deadline(&connection), Some((1, Abort)));
    }

    #[tokio::test(start_paused = true)]
    async fn busy_connection_is_evictable_unless_it_has_authenticated() {
        let connection = connection();
        assert!(connection.evictable_since().is_some(), "idle");
        connection.begin_request(0);
        assert!(connection.evictable_since().is_none(), "just begun");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(connection.evictable_since().is_some(), "anonymous");
        connection.note_authenticated();
        assert!(connection.evictable_since().is_none());
        connection.end_request(0);
        assert!(connection.evictable_since().is_some(), "idle again");
    }

    #[test]
    fn incomplete_head_is_charged_until_its_request_begins() {
        let limits = Limits {
            connection_memory_bytes: 1024,
            anonymous_memory_bytes: 0,
            authenticated_memory_bytes: 0,
            max_body_bytes: 256,
            ..Limits::default()
        };
        let connection = connection_within(limits);
        let most = BUFFER_BYTES + 2048;
        assert!(
            connection.receive(&vec![b'x'; most]),
            "its own, and what four bodies need"
        );
        assert!(!connection.receive(b"x"), "beyond the budget");
        assert!(connection.begin_request(1500));
        assert!(connection.reserve(500) && !connection.reserve(100));
        connection.end_request(1500);
        connection.release(500);
        assert!(connection.receive(&vec![b'x'; most]));
    }
}
