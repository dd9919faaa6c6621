//! Two ways in: past the layer for what no page has business with, through it for the rest.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use futures_util::future::BoxFuture;
use http::Request;
use tower::{Service, ServiceExt};

/// The step.
#[derive(Clone, Debug)]
pub(in crate::server) struct Split<P, M> {
    /// Whether pages may have business with a path.
    pub(in crate::server) is_for_pages: fn(&str) -> bool,
    pub(in crate::server) pages: P,
    pub(in crate::server) machines: M,
}

impl<P, M> Service<Request<Body>> for Split<P, M>
where
    P: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    P::Future: Send,
    M: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    M::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Each call clones the service behind and waits for its own clone.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if (self.is_for_pages)(request.uri().path()) {
            Box::pin(self.pages.clone().oneshot(request))
        } else {
            Box::pin(self.machines.clone().oneshot(request))
        }
    }
}
