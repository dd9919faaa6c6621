//! Second step: enforces the deadline of a call over all later steps, and turns a panic into an error.

use std::{
    panic::AssertUnwindSafe,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use connectrpc_axum::ConnectError;
use futures_util::{FutureExt, future::BoxFuture};
use http::Request;
use tower::{Service, ServiceExt};

use super::{
    classified::{Call, not_classified},
    error,
};

#[derive(Clone)]
pub(super) struct Deadline<S>(pub(super) S);

impl<S> Service<Request<Body>> for Deadline<S>
where
    S: Service<Request<Body>, Response = Response, Error = ConnectError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move {
            let call: &Call = request.extensions().get().ok_or_else(not_classified)?;
            let (deadline, method) = (call.deadline, call.method.clone());
            let answer = AssertUnwindSafe(inner.oneshot(request)).catch_unwind();
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => {
                    tracing::error!(procedure = &**method.path(), "a handler panicked");
                    Err(error::internal("something is wrong in the server"))
                }
                Err(_) => Err(error::deadline_exceeded()),
            }
        })
    }
}
