//! The way of a request, from its head to its line in the access log.
//!
//! The edge turns every call, whatever its protocol, into one protobuf message for the typed handlers, and writes the
//! reply in the caller's protocol. Forward-auth, OAuth's endpoints, pages and gRPC's reflection branch off here. All
//! that it knows of a procedure is its descriptor and its entry in the list of endpoints, so that the conformance
//! suite's service runs on it as well.

mod body_drain;
mod call;
mod decode;
mod encode;
mod error;
mod frame;
pub mod handlers;
mod head;
mod json;
mod method;
mod protocol;
mod query;
mod reflection;
#[cfg(test)]
mod tests;
pub(super) mod web;

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc};

use axum::{Router, body::Body, response::Response};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, header, request::Parts};
use tokio::time::{Instant, timeout_at};
use tower::{Layer, Service, ServiceExt, service_fn};

use self::{
    body_drain::BodyDrain,
    call::Call,
    encode::Encoder,
    handlers::{Handlers, RpcContext},
    head::HeaderLimits,
    protocol::Wire,
    query::Query,
    web::Web,
};
pub use self::{
    method::{BadAlias, Method, MethodTable, Streaming},
    protocol::{Codec, Protocol},
};
use super::{
    LogRequests, access_log,
    authenticate::{Authenticator, HeadCaller, RequestHead},
    client_address::ClientAddress,
    context::RequestContext,
    endpoints::{self, Credentials, Endpoint, Kind},
    error::ApiError,
    limits::Limits,
    listener::{ClientCertificate, Peer},
    metrics, request_id,
};
use crate::{
    app::{App, caller::ClientInfo},
    domain::{audit::escape_user_agent, id::RequestId},
};

/// Serves the requests of a listener.
#[derive(Debug)]
pub struct Edge {
    app: App,
    authenticator: Authenticator,
    methods: Arc<MethodTable>,
    handlers: Handlers,
    limits: Arc<Limits>,
    with_reasons: bool,
    pub(super) log_requests: LogRequests,
    pub(super) addresses: Arc<ClientAddress>,
    /// `None`: only calls are served, as on the control socket.
    pub(super) web: Option<Web>,
}

impl Edge {
    /// Serves calls alone: `router` holds the generated routers, merged, without layers.
    pub fn new(app: App, methods: Arc<MethodTable>, router: Router, limits: Arc<Limits>) -> Self {
        Self {
            authenticator: Authenticator(app.clone()),
            app,
            methods,
            handlers: Handlers::new(router),
            limits,
            with_reasons: true,
            log_requests: LogRequests::default(),
            addresses: Arc::new(ClientAddress::new(Vec::new())),
            web: None,
        }
    }

    /// Leaves the reason out of errors, for clients that compare their details exactly.
    #[must_use]
    pub fn without_reasons(self) -> Self {
        Self {
            with_reasons: false,
            ..self
        }
    }

    /// The edge as a service for a listener.
    pub fn into_service(
        self,
    ) -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static {
        let edge = Arc::new(self);
        service_fn(move |request| {
            let edge = Arc::clone(&edge);
            async move { Ok(edge.serve(request).await) }
        })
    }

    /// Serves a request, whatever it is for.
    async fn serve(&self, request: Request<Body>) -> Response {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let context = self.context(&head);
        let (method, uri) = (head.method.clone(), head.uri.clone());
        let certificate = head.extensions.get::<ClientCertificate>().cloned();
        let serving = async {
            let mut response = self.cross_origin(&context, head, body).await;
            let headers = response.headers_mut();
            let id = HeaderValue::from_str(context.request_id().as_str());
            headers.insert(request_id::HEADER, id.expect("base62 is ASCII"));
            let nosniff = HeaderValue::from_static("nosniff");
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
            let line = access_log::Line {
                method: &method,
                path: uri.path(),
                status: response.status(),
                elapsed: started.elapsed(),
                client_certificate: certificate.as_ref().map(|certificate| &*certificate.0),
            };
            let labels = metrics::labels(context.log_fields(), line.status);
            self.app.metrics().request(labels, line.elapsed);
            line.write(&context, self.log_requests);
            response
        };
        request_id::scope(context.request_id(), serving).await
    }

    fn context(&self, head: &Parts) -> RequestContext {
        let peer = head.extensions.get().copied();
        let peer = peer.expect("the listener names the peer of each request");
        let user_agent = head.headers.get(header::USER_AGENT);
        let user_agent = user_agent.map(HeaderValue::as_bytes).unwrap_or_default();
        let client = ClientInfo {
            request_id: RequestId::generate(self.app.now()),
            client_request_id: request_id::of_client(&head.headers).map(str::to_owned),
            ip: Peer::ip(peer).map(|ip| self.addresses.find(ip, &head.headers)),
            user_agent: escape_user_agent(&String::from_utf8_lossy(user_agent)),
        };
        let cors = self.web.as_ref().map(|web| &web.cors);
        let may_send_password = cors.is_none_or(|cors| cors.may_send_password(head, peer));
        RequestContext::new(client, peer, may_send_password)
    }

    /// Lets pages of other origins call, but no endpoint for machines.
    async fn cross_origin(&self, context: &RequestContext, head: Parts, body: Body) -> Response {
        let web = endpoints::find_web(head.uri.path());
        context.note_endpoint(web);
        let cors = self.web.as_ref().and_then(|web| web.cors.layer.as_ref());
        let Some(cors) = cors.filter(|_| endpoints::is_for_browsers(head.uri.path())) else {
            return self.respond(context, web, head, body).await;
        };
        let inner = service_fn(async |request: Request<Body>| {
            let (head, body) = request.into_parts();
            Ok(self.respond(context, web, head, body).await)
        });
        let Ok::<_, Infallible>(response) = cors
            .layer(inner)
            .oneshot(Request::from_parts(head, body))
            .await;
        response
    }

    /// Decides by the head what a request is for.
    async fn respond(
        &self,
        context: &RequestContext,
        endpoint: Option<&'static Endpoint>,
        head: Parts,
        body: Body,
    ) -> Response {
        let mut body = BodyDrain::new(body, &head.headers);
        if let (Some(_), Some(Kind::ForwardAuth)) = (&self.web, endpoint.map(|found| found.kind)) {
            return self.forward_auth(context, head, body).await;
        }
        let problem = head::check(&head, &self.limits, HeaderLimits::of_request(&self.limits));
        let query = head.uri.query().map(Query::parse).unwrap_or_default();
        let method = self.methods.get(head.uri.path());
        if method.is_none() && !call::is_call(&head, &query) {
            let response = match problem {
                None => self.web(context, endpoint, head, &mut body.body).await,
                Some(error) => error::refusal(context, &error),
            };
            body.drain(&self.limits).await;
            return response;
        }
        let wire = match call::wire(context, &head, &query, method) {
            Ok(wire) => wire,
            Err(refusal) => {
                body.drain(&self.limits).await;
                return *refusal;
            }
        };
        let Some(method) = method else {
            return Box::pin(self.reflection(context, wire, problem, head, body)).await;
        };
        context.note_endpoint(method.endpoint());
        let call = match problem {
            None => Call::read(&head, query, method, wire, &self.limits),
            Some(error) => Err(error),
        };
        self.call(context, wire, call, head.headers, body).await
    }

    /// Serves a call.
    async fn call(
        &self,
        context: &RequestContext,
        wire: Wire,
        call: Result<Call, ApiError>,
        headers: HeaderMap,
        mut body: BodyDrain,
    ) -> Response {
        let encoder = self.encoder(wire);
        // Set once a handler may have said something besides its reply.
        let mut rpc = None;
        let written = match call {
            Err(error) => Err(error),
            Ok(call) => {
                let (method, deadline) = (Arc::clone(&call.method), call.deadline);
                let answering = Box::pin(async {
                    let caller = self.authenticate(context, method.credentials(), &headers);
                    let caller = caller.await?;
                    let message = decode::message(&mut body.body, &call, &self.limits).await?;
                    let caller = caller.recheck(&self.app).await?;
                    let rpc = rpc.insert(RpcContext::new(context.clone(), caller, headers, call));
                    let reply = self.handlers.call(rpc, message).await?;
                    encoder.success(rpc, reply).await
                });
                in_time(deadline, method.path(), answering).await
            }
        };
        if written.is_err() {
            body.drain(&self.limits).await;
        }
        encoder.finish(context, rpc.as_ref(), written)
    }

    /// The caller by the head of a request, for an endpoint that takes these credentials.
    async fn authenticate(
        &self,
        context: &RequestContext,
        takes: Credentials,
        headers: &HeaderMap,
    ) -> Result<HeadCaller, ApiError> {
        let head = RequestHead {
            context,
            headers,
            takes,
        };
        self.authenticator.clone().oneshot(head).await
    }

    fn encoder(&self, wire: Wire) -> Encoder {
        Encoder {
            wire,
            limits: Arc::clone(&self.limits),
            with_reasons: self.with_reasons,
        }
    }
}

/// Does the work until the deadline, and turns a panic into an error.
async fn in_time<T>(
    deadline: Instant,
    path: &str,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    match timeout_at(deadline, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => {
            tracing::error!(path, "a handler panicked");
            Err(error::panicked())
        }
        Err(_) => Err(error::deadline_exceeded()),
    }
}
