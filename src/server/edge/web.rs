//! Requests that are not calls: web routes answer them, within the same limits.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{Router, body::Body, response::Response};
use futures_util::FutureExt;
use http::{Request, StatusCode};
use http_body_util::Limited;
use tower::ServiceExt;

use super::{body_drain::BodyDrain, error, http_error};
use crate::server::limits::Limits;

/// Answers from the web routes.
pub(super) async fn answer(
    routes: Router,
    request: Request<Body>,
    limits: Arc<Limits>,
) -> Response {
    let (parts, body) = request.into_parts();
    let (unread, body) = BodyDrain::new(body, &parts.headers);
    let body = Body::new(Limited::new(body, limits.max_body_bytes));
    let answer = routes.oneshot(Request::from_parts(parts, body));
    let response = in_time(answer.map(|Ok(response)| response), &limits).await;
    unread.drain(&limits).await;
    response
}

/// The answer of a handler, or an error if it panics or takes too long.
pub(super) async fn in_time(answer: impl Future<Output = Response>, limits: &Limits) -> Response {
    let answer = AssertUnwindSafe(answer).catch_unwind();
    match tokio::time::timeout(limits.handler_timeout, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("a web handler panicked");
            let error = error::internal("something is wrong in the server");
            http_error::refusal(StatusCode::INTERNAL_SERVER_ERROR, &error)
        }
        Err(_) => http_error::refusal(StatusCode::SERVICE_UNAVAILABLE, &error::deadline_exceeded()),
    }
}
