//! Drains a request body that was not read to its end.
//!
//! An HTTP/1.1 server that answers before it has read the body must close the connection, and many clients then
//! report the broken pipe instead of the answer. So the rest of the body is read and discarded first, within
//! limits.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body as _, Frame, SizeHint};

use crate::server::limits::Limits;

/// Drains a body that a later step may have read in part.
pub(super) struct BodyDrain {
    body: Arc<Mutex<Body>>,
    /// The client waits for `100 Continue` before it sends the body. Reading would trigger it.
    expects_continue: bool,
}

struct SharedBody(Arc<Mutex<Body>>);

impl BodyDrain {
    /// Splits the body of a request into the drain, and the body for the next step.
    pub(super) fn new(body: Body, headers: &HeaderMap) -> (Self, Body) {
        let body = Arc::new(Mutex::new(body));
        let shared = Body::new(SharedBody(Arc::clone(&body)));
        let expects_continue = headers.contains_key(header::EXPECT);
        (
            Self {
                body,
                expects_continue,
            },
            shared,
        )
    }

    /// Whether the body was read to its end, or there is none.
    fn is_finished(&self) -> bool {
        lock(&self.body).is_end_stream()
    }

    /// Reads what is left, within the limits. Returns whether the end was reached.
    pub(super) async fn drain(self, limits: &Limits) -> bool {
        if self.is_finished() {
            return true;
        }
        !self.expects_continue && drain(&self.body, limits.drain_bytes, limits.drain_timeout).await
    }
}

async fn drain(body: &Mutex<Body>, mut bytes: usize, time: Duration) -> bool {
    let read = async {
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut *lock(body)).poll_frame(cx)).await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            if length > bytes {
                return false;
            }
            bytes -= length;
        }
        true
    };
    tokio::time::timeout(time, read).await.unwrap_or(false)
}

fn lock(body: &Mutex<Body>) -> MutexGuard<'_, Body> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *lock(&self.0)).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http::HeaderValue;
    use std::convert::Infallible;

    fn chunks(count: usize) -> (Body, Arc<Mutex<usize>>) {
        let sent = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&sent);
        let stream = stream::iter((0..count).map(move |_| {
            *counter.lock().unwrap() += 1;
            Ok::<_, Infallible>(Bytes::from_static(&[0; 10]))
        }));
        (Body::from_stream(stream), sent)
    }

    #[tokio::test]
    async fn rest_of_the_body_is_read_up_to_the_limit() {
        for (bytes, read) in [(1000, 5), (25, 3)] {
            let (body, sent) = chunks(5);
            let (unread, body) = BodyDrain::new(body, &HeaderMap::new());
            drop(body);
            let limits = Limits {
                drain_bytes: bytes,
                ..Limits::default()
            };
            unread.drain(&limits).await;
            assert_eq!(*sent.lock().unwrap(), read);
        }
    }

    #[tokio::test]
    async fn expected_continue_is_not_sent() {
        let (body, sent) = chunks(5);
        let mut headers = HeaderMap::new();
        headers.insert("expect", HeaderValue::from_static("100-continue"));
        let (unread, _body) = BodyDrain::new(body, &headers);
        unread.drain(&Limits::default()).await;
        assert_eq!(*sent.lock().unwrap(), 0);
    }
}
