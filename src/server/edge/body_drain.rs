//! Drains a request body that was not read to its end.
//!
//! An HTTP/1.1 server that answers before it has read the body must close the connection, and many clients then
//! report the broken pipe instead of the answer. So the rest of the body is read and discarded first, within
//! limits.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::server::limits::Limits;

/// A request body, which may have been read in part.
#[derive(Debug)]
pub(super) struct BodyDrain {
    pub(super) body: Body,
    /// The client waits for `100 Continue` before it sends the body. Reading would trigger it.
    expects_continue: bool,
}

impl BodyDrain {
    pub(super) fn new(body: Body, headers: &HeaderMap) -> Self {
        let expects_continue = !body.is_end_stream() && headers.contains_key(header::EXPECT);
        Self {
            body,
            expects_continue,
        }
    }

    /// Reads what is left, within the limits. Returns whether the end was reached.
    pub(super) async fn drain(&mut self, limits: &Limits) -> bool {
        if self.body.is_end_stream() {
            return true;
        }
        if self.expects_continue {
            return false;
        }
        let mut bytes = limits.drain_bytes;
        let read = async {
            while let Some(Ok(frame)) = self.body.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                if length > bytes {
                    return false;
                }
                bytes -= length;
            }
            true
        };
        let in_time = tokio::time::timeout(limits.drain_timeout, read).await;
        in_time.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http::HeaderValue;
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex},
    };

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
            let mut unread = BodyDrain::new(body, &HeaderMap::new());
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
        let mut unread = BodyDrain::new(body, &headers);
        unread.drain(&Limits::default()).await;
        assert_eq!(*sent.lock().unwrap(), 0);
    }
}
