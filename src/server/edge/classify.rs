//! First step: whose request is this, how does it speak, and may it be heard at all? Everything here is
//! read from the head; the body is not touched.
//!
//! A request for no procedure goes to the web routes, one for gRPC's own services to tonic. A refusal
//! that can be told in the caller's protocol is left in the extensions for the step that writes replies.

mod rpc;

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, response::Response};
use connectrpc_axum::ConnectError;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, StatusCode, request::Parts};
use tower::{Service, ServiceExt};

use super::{
    asked::{Asked, Call, Refused},
    error,
    head::{self, Room},
    loan::Loan,
    method::MethodTable,
    on_behalf::OnBehalf,
    plain,
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
    OnBehalf(OnBehalf),
    Own(Asked),
    Rpc(Asked, Box<Result<Call, Refused>>),
    /// Refused outside of all protocols.
    Http(Response),
}

/// The step. A clone shares what it is made of: there is one for each request, which needs one of the ways on.
pub(super) struct Classify<S, O>(Arc<Ways<S, O>>);

/// What the step is made of.
pub(super) struct Ways<S, O> {
    pub(super) methods: Arc<MethodTable>,
    pub(super) web: axum::Router,
    pub(super) on_behalf: Option<OnBehalf>,
    /// The steps before tonic's services.
    pub(super) own: O,
    pub(super) limits: Arc<Limits>,
    /// The steps before our handlers.
    pub(super) inner: S,
}

impl<S, O> Classify<S, O> {
    pub(super) fn new(ways: Ways<S, O>) -> Self {
        Self(Arc::new(ways))
    }
}

impl<S, O> Clone for Classify<S, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, O> Ways<S, O> {
    fn plan(&self, parts: &mut Parts, body: &mut Body) -> Plan {
        let on_behalf = self.on_behalf.as_ref();
        if let Some(on_behalf) = on_behalf.filter(|way| is_below(parts.uri.path(), way.top)) {
            return match head::check(parts, &self.limits, Room::on_behalf(&self.limits)) {
                None => Plan::OnBehalf(on_behalf.clone()),
                Some(fault) => Plan::Http(plain::refusal(fault.status, &fault.error)),
            };
        }
        let fault = head::check(parts, &self.limits, Room::usual(&self.limits));
        let query = parts.uri.query().map(Query::parse).unwrap_or_default();
        let method = self.methods.get(parts.uri.path()).cloned();
        let is_call = method.is_some() || rpc::is_call(parts, &query);
        if !is_call {
            return match fault {
                None => Plan::Web,
                Some(fault) => Plan::Http(plain::refusal(fault.status, &fault.error)),
            };
        }
        let wire = match rpc::wire(parts, &query, method.as_deref()) {
            Ok(wire) => wire,
            Err(refusal) => return Plan::Http(*refusal),
        };
        let own = (method.is_none() && parts.method == http::Method::POST)
            .then(|| endpoints::find_grpc(parts.uri.path()))
            .flatten();
        let endpoint = match &method {
            Some(method) => method.endpoint(),
            None => own,
        };
        let asked = Asked { wire, endpoint };
        let refused = |error, status| Box::new(Err(Refused { error, status }));
        if let Some(fault) = fault {
            return Plan::Rpc(asked, refused(fault.error, Some(fault.status)));
        }
        if let Some(method) = method {
            return match rpc::call(parts, body, query, &method, wire, &self.limits) {
                Ok(call) => Plan::Rpc(asked, Box::new(Ok(call))),
                Err(error) => Plan::Rpc(asked, refused(error, None)),
            };
        }
        if own.is_some() {
            return Plan::Own(asked);
        }
        let status = StatusCode::NOT_FOUND;
        Plan::Rpc(
            asked,
            refused(not_found(&self.methods, parts.uri.path()), Some(status)),
        )
    }
}

/// Says which procedure was likely meant, else which services there are.
fn not_found(methods: &MethodTable, path: &str) -> ConnectError {
    let own = endpoints::GRPC.iter().map(|line| line.path);
    let hint = if let Some(likeliest) = methods.find_likeliest(path, own) {
        format!(": did you mean {likeliest}?")
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
        // Each call clones the services behind and waits for its own clone.
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut parts, mut body) = request.into_parts();
        let ways = &self.0;
        match ways.plan(&mut parts, &mut body) {
            Plan::Web => {
                let request = Request::from_parts(parts, body);
                let (routes, limits) = (ways.web.clone(), Arc::clone(&ways.limits));
                Box::pin(web::answer(routes, request, limits).map(Ok))
            }
            Plan::OnBehalf(way) => {
                let request = Request::from_parts(parts, body);
                Box::pin(way.answer(request, Arc::clone(&ways.limits)).map(Ok))
            }
            Plan::Own(asked) => {
                parts.extensions.insert(asked);
                let request = Request::from_parts(parts, body);
                Box::pin(ways.own.clone().oneshot(request))
            }
            Plan::Rpc(asked, verdict) => {
                parts.extensions.insert(asked);
                match *verdict {
                    Ok(call) => {
                        parts.extensions.insert(call);
                    }
                    Err(refused) => {
                        parts.extensions.insert(refused);
                    }
                }
                Box::pin(ways.inner.clone().oneshot(Request::from_parts(parts, body)))
            }
            Plan::Http(response) => {
                let limits = Arc::clone(&ways.limits);
                let (loan, _) = Loan::new(body, &parts.headers);
                Box::pin(async move {
                    loan.drain(&limits).await;
                    Ok(response)
                })
            }
        }
    }
}
