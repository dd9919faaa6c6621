//! The outermost step: names every request, finds out where it came from, and sets what every reply has.
//!
//! The request ID is ours always. A client's `x-request-id` of an acceptable form is kept beside it, for
//! the log and the audit log. The canonical log line of a request is written here, once, when its reply
//! is known: it has the path, never the query. It is counted for the metrics there, too.

mod client_address;
mod counted;

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
    app::{App, caller::Origin},
    domain::{audit::escape_user_agent, id::RequestId},
    metrics::Metrics,
};

use super::{
    current,
    edge::{Outcome, Protocol},
    listener::Peer,
};
pub(super) use client_address::ClientAddress;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The step. Behind it, each request has an [`Origin`] in its extensions.
#[derive(Clone, Debug)]
pub(super) struct WithOrigin<S> {
    pub(super) app: App,
    pub(super) addresses: Arc<ClientAddress>,
    pub(super) inner: S,
}

impl<S> Service<Request<Body>> for WithOrigin<S>
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
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
        let ip = peer.map(|peer| self.addresses.find(peer, request.headers()));
        let origin = describe(RequestId::generate(self.app.now()), ip, request.headers());
        let line = Line::new(&request, &origin, self.app.metrics().clone());
        let id = origin.request_id.encode();
        request.extensions_mut().insert(origin);
        let reply = current::serving(id, || self.inner.call(request));
        Box::pin(current::serving_until(id, async move {
            let mut response = reply.await?;
            let headers = response.headers_mut();
            let id = HeaderValue::from_str(id.as_str()).expect("base62 is ASCII");
            headers.insert(REQUEST_ID, id);
            let nosniff = HeaderValue::from_static("nosniff");
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
            line.write(&response);
            Ok(response)
        }))
    }
}

fn describe(request_id: RequestId, ip: Option<IpAddr>, headers: &HeaderMap) -> Origin {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let client_request_id = text(REQUEST_ID)
        .filter(|id| is_request_id(id))
        .map(str::to_owned);
    let user_agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    let user_agent = String::from_utf8_lossy(user_agent.unwrap_or_default());
    Origin {
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

/// The canonical log line.
struct Line {
    begin: Instant,
    method: http::Method,
    path: String,
    ip: Option<IpAddr>,
    client_request_id: Option<String>,
    metrics: Metrics,
}

impl Line {
    fn new(request: &Request<Body>, origin: &Origin, metrics: Metrics) -> Self {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        Self {
            begin: Instant::now(),
            method,
            path,
            ip: origin.ip,
            client_request_id: origin.client_request_id.clone(),
            metrics,
        }
    }

    fn write(self, response: &Response) {
        let outcome = response.extensions().get::<Outcome>();
        let code = outcome
            .and_then(|outcome| outcome.code)
            .map_or("ok", |code| code.as_str());
        let protocol = outcome
            .and_then(|outcome| outcome.protocol)
            .map(Protocol::name);
        let elapsed = self.begin.elapsed();
        self.metrics
            .request(counted::request(&self.path, response, outcome), elapsed);
        tracing::info!(
            method = self.method.as_str(),
            path = self.path,
            status = response.status().as_u16(),
            code = outcome.map(|_| code),
            protocol,
            duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            ip = self.ip.map(tracing::field::display),
            client_request_id = self.client_request_id,
            "request"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_request_ids_of_the_form_are_kept() {
        for good in ["a", "A-b_c.9", &"x".repeat(64)] {
            assert!(is_request_id(good), "{good}");
        }
        for bad in ["", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(!is_request_id(bad), "{bad}");
        }
    }
}
