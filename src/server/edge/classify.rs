//! First step: decides from the head what a request is for, in which protocol, and whether it is acceptable. The
//! body is not touched.
//!
//! A request that is not for a procedure goes to the web routes, one for gRPC's reflection to tonic. An error that
//! can be expressed in the caller's protocol is left in the extensions for the step that encodes replies.

mod rpc;

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, response::Response};
use connectrpc_axum::ConnectError;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, StatusCode, request::Parts};
use tower::{Service, ServiceExt};

use super::{
    body_drain::BodyDrain,
    classified::{Call, CallTarget, RefusedCall},
    error,
    external_auth::ExternalAuth,
    head::{self, HeaderLimits},
    http_error,
    method::MethodTable,
    query::Query,
    web,
};
use crate::server::{
    endpoints::{self, is_below},
    limits::Limits,
};

/// What to do with a request.
enum Plan {
    Web,
    ExternalAuth(ExternalAuth),
    Reflection(CallTarget),
    Rpc(CallTarget, Box<Result<Call, RefusedCall>>),
    /// Rejected with a plain HTTP response.
    Http(Response),
}

/// First step. Clones share its routes: there is a clone for each request, which needs only one of them.
pub(super) struct Classify<S, O>(Arc<Routes<S, O>>);

/// Where requests go from here.
pub(super) struct Routes<S, O> {
    pub(super) methods: Arc<MethodTable>,
    pub(super) web: axum::Router,
    pub(super) external_auth: Option<ExternalAuth>,
    /// The steps before tonic's reflection.
    pub(super) reflection: O,
    pub(super) limits: Arc<Limits>,
    /// The steps before our own handlers.
    pub(super) inner: S,
}

impl<S, O> Classify<S, O> {
    pub(super) fn new(routes: Routes<S, O>) -> Self {
        Self(Arc::new(routes))
    }
}

impl<S, O> Clone for Classify<S, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, O> Routes<S, O> {
    fn plan(&self, parts: &mut Parts, body: &mut Body) -> Plan {
        let external_auth = self.external_auth.as_ref();
        if let Some(external_auth) =
            external_auth.filter(|auth| is_below(parts.uri.path(), auth.prefix))
        {
            return match head::check(
                parts,
                &self.limits,
                HeaderLimits::external_auth(&self.limits),
            ) {
                None => Plan::ExternalAuth(external_auth.clone()),
                Some(error) => Plan::Http(http_error::refusal(error.status, &error.error)),
            };
        }
        let error = head::check(parts, &self.limits, HeaderLimits::of_request(&self.limits));
        let query = parts.uri.query().map(Query::parse).unwrap_or_default();
        let method = self.methods.get(parts.uri.path()).cloned();
        let is_call = method.is_some() || rpc::is_call(parts, &query);
        if !is_call {
            return match error {
                None => Plan::Web,
                Some(error) => Plan::Http(http_error::refusal(error.status, &error.error)),
            };
        }
        let wire = match rpc::wire(parts, &query, method.as_deref()) {
            Ok(wire) => wire,
            Err(refusal) => return Plan::Http(*refusal),
        };
        let reflection = (method.is_none() && parts.method == http::Method::POST)
            .then(|| endpoints::find_grpc(parts.uri.path()))
            .flatten();
        let endpoint = match &method {
            Some(method) => method.endpoint(),
            None => reflection,
        };
        let target = CallTarget { wire, endpoint };
        let refused = |error, status| Box::new(Err(RefusedCall { error, status }));
        if let Some(error) = error {
            return Plan::Rpc(target, refused(error.error, Some(error.status)));
        }
        if let Some(method) = method {
            return match rpc::call(parts, body, query, &method, wire, &self.limits) {
                Ok(call) => Plan::Rpc(target, Box::new(Ok(call))),
                Err(error) => Plan::Rpc(target, refused(error, None)),
            };
        }
        if reflection.is_some() {
            return Plan::Reflection(target);
        }
        let status = StatusCode::NOT_FOUND;
        Plan::Rpc(
            target,
            refused(not_found(&self.methods, parts.uri.path()), Some(status)),
        )
    }
}

/// Names the procedure that was likely meant, or else the services that exist.
fn not_found(methods: &MethodTable, path: &str) -> ConnectError {
    let reflection = endpoints::GRPC.iter().map(|line| line.path);
    let hint = if let Some(closest) = methods.find_closest(path, reflection) {
        format!(": did you mean {closest}?")
    } else {
        let services = methods.services().join(", ");
        format!("; the services here are {services}, and gRPC's reflection lists their procedures")
    };
    error::procedure_not_found(format!("there is no such procedure{hint}"))
}

impl<S, O> Service<Request<Body>> for Classify<S, O>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    O: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    O::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        // Each call clones the service it needs and waits for that clone.
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut parts, mut body) = request.into_parts();
        let routes = &self.0;
        match routes.plan(&mut parts, &mut body) {
            Plan::Web => {
                let request = Request::from_parts(parts, body);
                let (routes, limits) = (routes.web.clone(), Arc::clone(&routes.limits));
                Box::pin(web::answer(routes, request, limits).map(Ok))
            }
            Plan::ExternalAuth(auth) => {
                let request = Request::from_parts(parts, body);
                Box::pin(auth.answer(request, Arc::clone(&routes.limits)).map(Ok))
            }
            Plan::Reflection(target) => {
                parts.extensions.insert(target);
                let request = Request::from_parts(parts, body);
                Box::pin(routes.reflection.clone().oneshot(request))
            }
            Plan::Rpc(target, verdict) => {
                parts.extensions.insert(target);
                match *verdict {
                    Ok(call) => {
                        parts.extensions.insert(call);
                    }
                    Err(refused) => {
                        parts.extensions.insert(refused);
                    }
                }
                Box::pin(
                    routes
                        .inner
                        .clone()
                        .oneshot(Request::from_parts(parts, body)),
                )
            }
            Plan::Http(response) => {
                let limits = Arc::clone(&routes.limits);
                let (unread, _) = BodyDrain::new(body, &parts.headers);
                Box::pin(async move {
                    unread.drain(&limits).await;
                    Ok(response)
                })
            }
        }
    }
}
