//! The bodies that pass through a connection: a request's, which must arrive in time, and a reply's, whose
//! progress the connection watches.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::BoxError;
use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::pulse::Pulse;

/// A request's body. It ends in an `io::Error` of the kind `TimedOut` if it is not whole in time.
pub(super) struct Timed {
    body: Incoming,
    until: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Timed {
    pub(super) fn new(body: Incoming, until: Instant) -> Self {
        Self {
            body,
            until,
            timer: None,
        }
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
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        let until = this.until;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        timer.as_mut().poll(cx).map(|()| {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the body did not arrive in time");
            Some(Err(error.into()))
        })
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
            self.under_way.0.taken();
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
        self.under_way.0.handed_over();
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
pub(super) struct UnderWay(Arc<Pulse>);

impl UnderWay {
    pub(super) fn new(pulse: Arc<Pulse>) -> Self {
        pulse.begin();
        Self(pulse)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}
