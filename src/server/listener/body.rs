//! The bodies that pass through a connection: a request's, which must arrive in time, and a reply's, whose
//! progress the connection watches.

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

use super::pulse::Pulse;

/// A request's body. It ends in an `io::Error`: of the kind `TimedOut` if it is not whole in time, of the kind
/// `OutOfMemory` if there is no room for it. Until somebody is authenticated there is less of both.
pub(super) struct Timed {
    body: Incoming,
    memory: Arc<BodyMemory>,
    begun: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// Completes when a body without a credential must make room for another.
    revoked: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// There was no room for it. Whoever asks on, to throw the rest away, is told the same: it is not admitted anew.
    is_refused: bool,
}

/// What a body, on its way or read, holds in memory. It is given back when body and reply are both gone.
pub(super) struct BodyMemory {
    pulse: Arc<Pulse>,
    held: AtomicUsize,
    is_read: AtomicBool,
}

impl BodyMemory {
    pub(super) fn new(pulse: Arc<Pulse>) -> Arc<Self> {
        Arc::new(Self {
            pulse,
            held: AtomicUsize::new(0),
            is_read: AtomicBool::new(false),
        })
    }

    /// Whether the body was read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed)
    }

    /// Whether there is room for so much more. What comes beyond the largest message of all is thrown away.
    fn hold(&self, bytes: usize) -> bool {
        let most = self.pulse.shared.most_of_a_body;
        let held = self.held.load(Ordering::Relaxed);
        let more = bytes.min(most.saturating_sub(held));
        let fits = self.pulse.hold(more);
        if fits {
            self.held.store(held + more, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for BodyMemory {
    fn drop(&mut self) {
        self.pulse.release(*self.held.get_mut());
    }
}

impl Timed {
    pub(super) fn new(body: Incoming, memory: Arc<BodyMemory>) -> Self {
        Self {
            body,
            memory,
            begun: Instant::now(),
            timer: None,
            revoked: None,
            is_refused: false,
        }
    }

    /// Nothing has come: is that too much?
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let pulse = &self.memory.pulse;
        let limits = &pulse.shared.limits;
        loop {
            let is_authenticated = pulse.is_authenticated();
            if is_authenticated {
                self.revoked = None;
            } else if let Some(revoked) = &mut self.revoked {
                if revoked.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(self.refuse());
                }
            } else {
                let Some(permit) = pulse.shared.anonymous_bodies.admit(pulse.network) else {
                    return Poll::Ready(self.refuse());
                };
                self.revoked = Some(Box::pin(async move { permit.revoked().await }));
                continue;
            }
            let timeout = if is_authenticated {
                limits.body_timeout
            } else {
                limits.anonymous_body_timeout.min(limits.body_timeout)
            };
            let until = self.begun + timeout;
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(until)));
            if timer.deadline() != until {
                timer.as_mut().reset(until);
            }
            ready!(timer.as_mut().poll(cx));
            // Somebody may have been authenticated meanwhile, whose time is longer.
            if is_authenticated || !pulse.is_authenticated() {
                let text = "the body did not arrive in time";
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
    }

    fn refuse(&mut self) -> io::Error {
        self.is_refused = true;
        self.revoked = None;
        io::Error::new(io::ErrorKind::OutOfMemory, "there is no room for the body")
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.is_refused {
            return Poll::Ready(Some(Err(this.refuse().into())));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            return this.wait(cx).map(|error| Some(Err(error.into())));
        };
        if frame.is_none() || this.body.is_end_stream() {
            this.memory.is_read.store(true, Ordering::Relaxed);
            this.revoked = None;
        }
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        if !this.memory.hold(bytes) {
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

/// The most that is handed to HTTP/2 at a time. It takes a part whole as soon as there is room for a byte
/// of it; in small parts, what a stalled peer leaves behind is small, and seen.
const PART_BYTES: usize = 16 * 1024;

/// A reply's body.
pub(super) struct Watched {
    body: axum::body::Body,
    under_way: UnderWay,
    /// Whether hyper asks for more only once the peer has made room: so in HTTP/2. In HTTP/1 the socket
    /// sees by itself that it cannot write.
    asks_for_room: bool,
    handed_over: bool,
    rest: Bytes,
}

impl Watched {
    pub(super) fn new(body: axum::body::Body, under_way: UnderWay, version: Version) -> Self {
        Self {
            body,
            under_way,
            asks_for_room: version == Version::HTTP_2,
            handed_over: false,
            rest: Bytes::new(),
        }
    }

    fn taken(&mut self) {
        if std::mem::take(&mut self.handed_over) {
            self.under_way.pulse.taken();
        }
    }

    /// The first part of `data`; the rest is kept.
    fn part_of(&mut self, data: Bytes) -> Frame<Bytes> {
        self.rest = data;
        let part = self.rest.split_to(self.rest.len().min(PART_BYTES));
        self.hand_over(Frame::data(part))
    }

    fn hand_over(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        self.handed_over = true;
        self.under_way.pulse.handed_over();
        frame
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        this.taken();
        if !this.rest.is_empty() {
            let rest = std::mem::take(&mut this.rest);
            return Poll::Ready(Some(Ok(this.part_of(rest))));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) if this.asks_for_room => Some(Ok(match frame.into_data() {
                Ok(data) => this.part_of(data),
                Err(trailers) => this.hand_over(trailers),
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

impl Drop for Watched {
    fn drop(&mut self) {
        self.taken();
    }
}

/// A request from its header to the end of its reply, however it ends.
pub(super) struct UnderWay {
    pulse: Arc<Pulse>,
    bytes: usize,
    /// The body may be kept for as long as the request is under way.
    _body: Option<Arc<BodyMemory>>,
}

impl UnderWay {
    /// Begins a request whose head holds so much memory; and whether there is room for it.
    pub(super) fn begin(
        pulse: Arc<Pulse>,
        bytes: usize,
        body: Option<Arc<BodyMemory>>,
    ) -> (Self, bool) {
        let fits = pulse.begin(bytes);
        let bytes = if fits { bytes } else { 0 };
        let this = Self {
            pulse,
            bytes,
            _body: body,
        };
        (this, fits)
    }

    /// Whether there is room for a large reply, which is kept until its reader has taken it. What a caller without a
    /// credential can ask for is small, or in memory anyway.
    pub(super) fn has_room_for(&mut self, reply: &SizeHint) -> bool {
        let bytes = usize::try_from(reply.exact().unwrap_or(0)).unwrap_or(usize::MAX);
        if bytes <= PART_BYTES || !self.pulse.is_authenticated() {
            return true;
        }
        let fits = self.pulse.hold(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.pulse.end(self.bytes);
    }
}
