//! Requests that are no calls: web routes answer them, within the same bounds as calls.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc};

use axum::{Router, body::Body, response::Response};
use futures_util::FutureExt;
use http::{HeaderValue, Request, StatusCode, Version, header};
use http_body::Body as _;
use http_body_util::Limited;
use tower::ServiceExt;

use super::{error, loan::Loan, plain};
use crate::server::limits::Limits;

/// Asks the web routes.
pub(super) async fn answer(
    routes: Router,
    request: Request<Body>,
    limits: Arc<Limits>,
) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    let (loan, body) = Loan::new(body, &parts.headers);
    let body = Body::new(Limited::new(body, limits.max_body_bytes));
    let response = ask(routes, Request::from_parts(parts, body), &limits).await;
    loan.drain(&limits).await;
    Ok(response)
}

/// Asks the web routes for a proxy that asks on behalf of another request. A body that it sends along is none
/// of theirs: it is thrown away beside the answer, which does not wait for it. A proxy that announces one
/// and sends none is answered as soon, but on a connection that is not used again: what comes next on it
/// would be taken for the body.
pub(super) async fn answer_on_behalf(
    routes: Router,
    request: Request<Body>,
    limits: Arc<Limits>,
) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return Ok(ask(routes, Request::from_parts(parts, body), &limits).await);
    }
    let is_multiplexed = parts.version == Version::HTTP_2;
    let (loan, _) = Loan::new(body, &parts.headers);
    let request = Request::from_parts(parts, Body::empty());
    let mut thrown_away = tokio::spawn({
        let limits = Arc::clone(&limits);
        async move { loan.drain(&limits).await }
    });
    let mut response = ask(routes, request, &limits).await;
    let in_time = tokio::time::timeout(limits.sent_along_timeout, &mut thrown_away).await;
    let is_over = matches!(in_time, Ok(Ok(true)));
    if !is_over && !is_multiplexed {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response)
}

async fn ask(routes: Router, request: Request<Body>, limits: &Limits) -> Response {
    let answer = AssertUnwindSafe(routes.oneshot(request)).catch_unwind();
    match tokio::time::timeout(limits.handler_timeout, answer).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Err(_)) => {
            tracing::error!("a web handler panicked");
            let error = error::internal("something is wrong in the server");
            plain::refusal(StatusCode::INTERNAL_SERVER_ERROR, &error)
        }
        Err(_) => plain::refusal(StatusCode::SERVICE_UNAVAILABLE, &error::deadline_exceeded()),
    }
}
