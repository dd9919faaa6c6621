//! External authorisation (forward-auth): a proxy asks whether another request may pass. It is never an RPC,
//! whatever the content type of that request, and its body is ignored.

use std::{fmt, sync::Arc};

use axum::{body::Body, response::Response};
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Version, header, request::Parts};
use http_body::Body as _;

use super::{body_drain::BodyDrain, web};
use crate::server::limits::Limits;

/// The endpoint.
#[derive(Clone)]
pub struct ExternalAuth {
    /// Its path. Paths below it belong to it, too.
    pub prefix: &'static str,
    /// Answers a request of any method from its head alone.
    pub handler: Arc<dyn Fn(Parts) -> BoxFuture<'static, Response> + Send + Sync>,
}

impl ExternalAuth {
    /// Answers without waiting for the body that a proxy may send along: it is drained concurrently. If a proxy
    /// announces a body and does not send it in time, the connection is closed after the answer, because the next
    /// request on it would be taken for the body.
    pub(super) async fn answer(self, request: Request<Body>, limits: Arc<Limits>) -> Response {
        let (parts, body) = request.into_parts();
        if body.is_end_stream() {
            return self.ask(parts, &limits).await;
        }
        let is_multiplexed = parts.version == Version::HTTP_2;
        let (unread, _) = BodyDrain::new(body, &parts.headers);
        let mut drained = tokio::spawn({
            let limits = Arc::clone(&limits);
            async move { unread.drain(&limits).await }
        });
        let mut response = self.ask(parts, &limits).await;
        let in_time = tokio::time::timeout(limits.forwarded_body_timeout, &mut drained).await;
        let is_over = matches!(in_time, Ok(Ok(true)));
        if !is_over && !is_multiplexed {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }

    async fn ask(&self, head: Parts, limits: &Limits) -> Response {
        let is_head = head.method == Method::HEAD;
        let response = web::in_time((self.handler)(head), limits).await;
        if is_head {
            without_body(response)
        } else {
            response
        }
    }
}

/// Removes the body in the answer to `HEAD` (RFC 9110 §9.3.2).
fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}

impl fmt::Debug for ExternalAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExternalAuth").field(&self.prefix).finish()
    }
}
