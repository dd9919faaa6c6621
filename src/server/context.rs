//! The outermost step: assigns the request ID, determines the client's address, and adds the header fields that
//! every reply has.
//!
//! The request ID is always our own. A valid `x-request-id` of the client is kept as well, for the log and the
//! audit log. When the reply is known, the request is counted and logged.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use tokio::time::Instant;
use tower::Service;

use crate::{
    app::{App, caller::ClientInfo},
    domain::{audit::escape_user_agent, id::RequestId},
};

use super::{
    access_log::{self, LogRequests},
    client_address::ClientAddress,
    current,
    listener::Peer,
    metrics,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Adds an [`ClientInfo`] to the extensions of each request.
#[derive(Clone, Debug)]
pub(super) struct WithRequestContext<S> {
    pub(super) app: App,
    pub(super) addresses: Arc<ClientAddress>,
    pub(super) log_requests: LogRequests,
    pub(super) inner: S,
}

impl<S> Service<Request<Body>> for WithRequestContext<S>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let peer = request
            .extensions()
            .get::<Peer>()
            .and_then(|peer| peer.ip());
        let ip = peer.map(|peer| self.addresses.find(peer, request.headers()));
        let origin = describe(RequestId::generate(self.app.now()), ip, request.headers());
        let (id, client_request_id) =
            (origin.request_id.encode(), origin.client_request_id.clone());
        let (begin, method, uri) = (
            Instant::now(),
            request.method().clone(),
            request.uri().clone(),
        );
        let (counters, log_requests) = (self.app.metrics().clone(), self.log_requests);
        request.extensions_mut().insert(origin);
        let (reply, fields) = current::sync_scope(id, || self.inner.call(request));
        Box::pin(current::scope(id, fields, async move {
            let mut response = reply.await?;
            let headers = response.headers_mut();
            let id = HeaderValue::from_str(id.as_str()).expect("base62 is ASCII");
            headers.insert(REQUEST_ID, id);
            let nosniff = HeaderValue::from_static("nosniff");
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
            let line = access_log::Line {
                method: &method,
                path: uri.path(),
                elapsed: begin.elapsed(),
                ip,
                client_request_id: client_request_id.as_deref(),
            };
            counters.request(metrics::labels(line.path, &response), line.elapsed);
            line.write(&response, log_requests);
            Ok(response)
        }))
    }
}

fn describe(request_id: RequestId, ip: Option<IpAddr>, headers: &HeaderMap) -> ClientInfo {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let client_request_id = text(REQUEST_ID)
        .filter(|id| is_request_id(id))
        .map(str::to_owned);
    let user_agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    let user_agent = String::from_utf8_lossy(user_agent.unwrap_or_default());
    ClientInfo {
        request_id,
        client_request_id,
        ip,
        user_agent: escape_user_agent(&user_agent),
    }
}

fn is_request_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&id.len()) && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_request_ids_are_kept() {
        for good in ["a", "A-b_c.9", &"x".repeat(64)] {
            assert!(is_request_id(good), "{good}");
        }
        for bad in ["", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(!is_request_id(bad), "{bad}");
        }
    }
}
