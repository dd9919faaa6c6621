//! Request bodies, which must arrive in time and fit into memory, and reply bodies, whose progress the connection
//! tracks.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::BoxError;
use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection_state::ConnectionState;

/// A request body. It fails with an `io::Error`: `TimedOut` if it is not complete in time, `OutOfMemory` if it
/// exceeds the memory budget. Both limits are lower until somebody has authenticated on the connection.
pub(super) struct RequestBody {
    body: Incoming,
    memory: Arc<BodyMemory>,
    started_at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// Completes when an anonymous body is evicted in favour of another one.
    evicted: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whether it was rejected. Polling again, to drain it, returns the same error and does not admit it a second
    /// time.
    is_rejected: bool,
}

/// Memory reserved for a request body, released when both the body and the reply are gone.
pub(super) struct BodyMemory {
    connection: Arc<ConnectionState>,
    reserved_bytes: AtomicUsize,
    is_read: AtomicBool,
}

impl BodyMemory {
    pub(super) fn new(connection: Arc<ConnectionState>) -> Arc<Self> {
        Arc::new(Self {
            connection,
            reserved_bytes: AtomicUsize::new(0),
            is_read: AtomicBool::new(false),
        })
    }

    /// Whether the body was read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed)
    }

    /// Reserves `bytes` more, if the budget allows. Bytes beyond the largest message are discarded anyway, so they
    /// need no memory.
    fn reserve(&self, bytes: usize) -> bool {
        let most = self.connection.shared.max_kept_body_bytes;
        let reserved = self.reserved_bytes.load(Ordering::Relaxed);
        let more = bytes.min(most.saturating_sub(reserved));
        let fits = self.connection.reserve(more);
        if fits {
            self.reserved_bytes
                .store(reserved + more, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for BodyMemory {
    fn drop(&mut self) {
        self.connection.release(*self.reserved_bytes.get_mut());
    }
}

impl RequestBody {
    pub(super) fn new(body: Incoming, memory: Arc<BodyMemory>) -> Self {
        Self {
            body,
            memory,
            started_at: Instant::now(),
            timer: None,
            evicted: None,
            is_rejected: false,
        }
    }

    /// Called when no data is ready: fails once the timeout has passed.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let connection = &self.memory.connection;
        let limits = &connection.shared.limits;
        loop {
            let is_authenticated = connection.is_authenticated();
            if is_authenticated {
                self.evicted = None;
            } else if let Some(evicted) = &mut self.evicted {
                if evicted.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(self.refuse());
                }
            } else {
                let Some(permit) = connection.shared.anonymous_bodies.admit(connection.network)
                else {
                    return Poll::Ready(self.refuse());
                };
                self.evicted = Some(Box::pin(async move { permit.evicted().await }));
                continue;
            }
            let timeout = if is_authenticated {
                limits.body_timeout
            } else {
                limits.anonymous_body_timeout.min(limits.body_timeout)
            };
            let until = self.started_at + timeout;
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(until)));
            if timer.deadline() != until {
                timer.as_mut().reset(until);
            }
            ready!(timer.as_mut().poll(cx));
            // Somebody may have authenticated in the meantime, which extends the timeout.
            if is_authenticated || !connection.is_authenticated() {
                let text = "the body did not arrive in time";
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
    }

    fn refuse(&mut self) -> io::Error {
        self.is_rejected = true;
        self.evicted = None;
        io::Error::new(
            io::ErrorKind::OutOfMemory,
            "there is no memory for the body",
        )
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.is_rejected {
            return Poll::Ready(Some(Err(this.refuse().into())));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            return this.wait(cx).map(|error| Some(Err(error.into())));
        };
        if frame.is_none() || this.body.is_end_stream() {
            this.memory.is_read.store(true, Ordering::Relaxed);
            this.evicted = None;
        }
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        if !this.memory.reserve(bytes) {
            return Poll::Ready(Some(Err(this.refuse().into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The most that is handed to HTTP/2 at a time. h2 buffers a whole chunk as soon as the flow-control window has one
/// byte free, so small chunks keep the buffer of a stalled peer small, and let the stall be seen.
const CHUNK_BYTES: usize = 16 * 1024;

/// A reply body.
pub(super) struct ReplyBody {
    body: axum::body::Body,
    active_request: ActiveRequest,
    /// Whether hyper asks for the next chunk only once the peer's flow-control window is open, as in HTTP/2. In
    /// HTTP/1 the socket itself notices that it cannot write.
    is_flow_controlled: bool,
    has_pending_chunk: bool,
    rest: Bytes,
}

impl ReplyBody {
    pub(super) fn new(
        body: axum::body::Body,
        active_request: ActiveRequest,
        version: Version,
    ) -> Self {
        Self {
            body,
            active_request,
            is_flow_controlled: version == Version::HTTP_2,
            has_pending_chunk: false,
            rest: Bytes::new(),
        }
    }

    fn chunk_taken(&mut self) {
        if std::mem::take(&mut self.has_pending_chunk) {
            self.active_request.connection.chunk_taken();
        }
    }

    /// Sends the first chunk of `data` and keeps the rest.
    fn first_chunk_of(&mut self, data: Bytes) -> Frame<Bytes> {
        self.rest = data;
        let part = self.rest.split_to(self.rest.len().min(CHUNK_BYTES));
        self.send_chunk(Frame::data(part))
    }

    fn send_chunk(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        self.has_pending_chunk = true;
        self.active_request.connection.chunk_sent();
        frame
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        this.chunk_taken();
        if !this.rest.is_empty() {
            let rest = std::mem::take(&mut this.rest);
            return Poll::Ready(Some(Ok(this.first_chunk_of(rest))));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) if this.is_flow_controlled => Some(Ok(match frame.into_data() {
                Ok(data) => this.first_chunk_of(data),
                Err(trailers) => this.send_chunk(trailers),
            })),
            frame => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        self.chunk_taken();
    }
}

/// A request from its header to the end of its reply, however that ends.
pub(super) struct ActiveRequest {
    connection: Arc<ConnectionState>,
    bytes: usize,
    /// Keeps the body's memory reserved until the request is done.
    _body: Option<Arc<BodyMemory>>,
}

impl ActiveRequest {
    /// Begins a request whose head takes `bytes` of memory. The flag says whether they fit into the budget.
    pub(super) fn begin(
        connection: Arc<ConnectionState>,
        bytes: usize,
        body: Option<Arc<BodyMemory>>,
    ) -> (Self, bool) {
        let fits = connection.begin_request(bytes);
        let bytes = if fits { bytes } else { 0 };
        let this = Self {
            connection,
            bytes,
            _body: body,
        };
        (this, fits)
    }

    /// Reserves memory for a large reply, which is buffered until the client has read it; false if the budget is
    /// exhausted. Anonymous callers are not charged: the replies they can get are small, or in memory anyway.
    pub(super) fn try_reserve_reply(&mut self, reply: &SizeHint) -> bool {
        let bytes = usize::try_from(reply.exact().unwrap_or(0)).unwrap_or(usize::MAX);
        if bytes <= CHUNK_BYTES || !self.connection.is_authenticated() {
            return true;
        }
        let fits = self.connection.reserve(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.connection.end_request(self.bytes);
    }
}
