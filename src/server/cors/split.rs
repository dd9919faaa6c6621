//! Two ways in: past the layer for what no page has business with, through it for the rest.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use futures_util::future::Either;
use http::Request;
use tower::{Service, ServiceExt, util::Oneshot};

/// The step. A clone shares both ways: there is one for each request, which needs one of them.
#[derive(Debug)]
pub(in crate::server) struct Split<P, M>(Arc<Ways<P, M>>);

#[derive(Debug)]
struct Ways<P, M> {
    is_for_pages: fn(&str) -> bool,
    pages: P,
    machines: M,
}

impl<P, M> Split<P, M> {
    /// `is_for_pages`: whether pages may have business with a path.
    pub(in crate::server) fn new(is_for_pages: fn(&str) -> bool, pages: P, machines: M) -> Self {
        Self(Arc::new(Ways {
            is_for_pages,
            pages,
            machines,
        }))
    }
}

impl<P, M> Clone for Split<P, M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
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
    type Future = Either<Oneshot<P, Request<Body>>, Oneshot<M, Request<Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Each call clones the service behind and waits for its own clone.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ways = &self.0;
        if (ways.is_for_pages)(request.uri().path()) {
            Either::Left(ways.pages.clone().oneshot(request))
        } else {
            Either::Right(ways.machines.clone().oneshot(request))
        }
    }
}
