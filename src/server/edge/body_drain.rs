//! A request body that is lent to the steps behind and asked back when they refuse early.
//!
//! An HTTP/1.1 server that answers before it has read the body must close the connection, and many
//! clients then report the broken pipe instead of the answer. So what the steps left is read and thrown
//! away first, within bounds.

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

/// The lender's end.
pub(super) struct BodyDrain {
    body: Arc<Mutex<Body>>,
    /// The client waits for leave to send the body. Reading would give it.
    expects_continue: bool,
}

struct SharedBody(Arc<Mutex<Body>>);

impl BodyDrain {
    /// Lends the body of a request with these headers.
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

    /// Whether all of it was read, or there is none.
    fn is_finished(&self) -> bool {
        lock(&self.body).is_end_stream()
    }

    /// Reads what is left, within the bounds. Whether the end was reached makes no difference to most answers.
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
    async fn what_is_left_is_read_to_the_bound() {
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
    async fn a_client_that_asked_for_leave_is_not_given_it() {
        let (body, sent) = chunks(5);
        let mut headers = HeaderMap::new();
        headers.insert("expect", HeaderValue::from_static("100-continue"));
        let (unread, _body) = BodyDrain::new(body, &headers);
        unread.drain(&Limits::default()).await;
        assert_eq!(*sent.lock().unwrap(), 0);
    }
}
