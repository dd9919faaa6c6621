//! Sends requests for browser-facing paths through the CORS layer, and all others past it.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use futures_util::future::Either;
use http::Request;
use tower::{Service, ServiceExt, util::Oneshot};

/// Clones share both services: there is a clone for each request, which needs only one of them.
#[derive(Debug)]
pub(in crate::server) struct CorsRouter<P, M>(Arc<Routes<P, M>>);

#[derive(Debug)]
struct Routes<P, M> {
    is_browser_path: fn(&str) -> bool,
    with_cors: P,
    without_cors: M,
}

impl<P, M> CorsRouter<P, M> {
    /// `is_browser_path`: whether pages may call a path.
    pub(in crate::server) fn new(
        is_browser_path: fn(&str) -> bool,
        with_cors: P,
        without_cors: M,
    ) -> Self {
        Self(Arc::new(Routes {
            is_browser_path,
            with_cors,
            without_cors,
        }))
    }
}

impl<P, M> Clone for CorsRouter<P, M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P, M> Service<Request<Body>> for CorsRouter<P, M>
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
        // Each call clones the service it needs and waits for that clone.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let routes = &self.0;
        if (routes.is_browser_path)(request.uri().path()) {
            Either::Left(routes.with_cors.clone().oneshot(request))
        } else {
            Either::Right(routes.without_cors.clone().oneshot(request))
        }
    }
}
