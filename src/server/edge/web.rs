//! What is no call of ours: forward-auth, OAuth's endpoints, pages, and gRPC's reflection.

use std::{pin::Pin, sync::Arc};

use axum::{Router, body::Body, response::Response};
use connectrpc_axum::Code;
use http::{HeaderValue, Method, Request, StatusCode, Version, header, request::Parts};
use http_body::Body as _;
use tokio::time::Instant;
use tower::ServiceExt;

use super::{
    Edge, MethodTable,
    body_drain::BodyDrain,
    error,
    head::{self, HeaderLimits},
    in_time,
    protocol::Wire,
    reflection,
};
use crate::server::{
    context::RequestContext,
    cors::Cors,
    endpoints::{self, Endpoint, FORWARD_AUTH, Kind, OTHER},
    error::{ApiError, oauth},
    health_reflection::Reflection,
    public_url::Issuer,
    web::{ClientRequest, forward_auth, introspection, not_found, revocation},
};

/// What a listener for the network serves besides calls.
#[derive(Debug)]
pub(in crate::server) struct Web {
    pub(in crate::server) cors: Cors,
    pub(in crate::server) issuer: Issuer,
    pub(in crate::server) reflection: Reflection,
    pub(in crate::server) pages: Router,
}

impl Edge {
    /// A proxy asks whether another request may pass. That is never a call, whatever the content type of that
    /// request. The body that the proxy may send along is drained while the question is answered: if the proxy
    /// announces one and does not send it in time, the connection is closed after the answer, because the next
    /// request on it would be taken for the body.
    pub(super) async fn forward_auth(
        &self,
        context: &RequestContext,
        head: Parts,
        mut body: BodyDrain,
    ) -> Response {
        let limits = &self.limits;
        if let Some(error) = head::check(&head, limits, HeaderLimits::external_auth(limits)) {
            body.drain(limits).await;
            return error::refusal(context, &error);
        }
        let drained = (!body.body.is_end_stream()).then(|| {
            let limits = Arc::clone(limits);
            tokio::spawn(async move { body.drain(&limits).await })
        });
        let page = Box::pin(forward_auth::serve(&self.app, context, &head));
        let mut response = self.page_in_time(context, FORWARD_AUTH.label, page).await;
        if let Some(drained) = drained {
            let in_time = tokio::time::timeout(limits.forwarded_body_timeout, drained).await;
            if !matches!(in_time, Ok(Ok(true))) && head.version != Version::HTTP_2 {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
        }
        if head.method == Method::HEAD {
            response = without_body(response);
        }
        response
    }

    /// Serves what is neither a call nor forward-auth.
    pub(super) async fn web(
        &self,
        context: &RequestContext,
        endpoint: Option<&'static Endpoint>,
        head: Parts,
        body: &mut Body,
    ) -> Response {
        let Some(web) = &self.web else {
            return not_found::answer(&[], &head.uri, &head.headers);
        };
        let label = endpoint.map_or(OTHER, |endpoint| endpoint.label);
        let kind = endpoint.map(|endpoint| endpoint.kind);
        let page = Box::pin(async {
            let (Some(endpoint), Some(Kind::Introspection | Kind::Revocation)) = (endpoint, kind)
            else {
                // No page reads its body.
                let request = Request::from_parts(head, Body::empty());
                let Ok(response) = web.pages.clone().oneshot(request).await;
                return response;
            };
            let caller = self.authenticate(context, endpoint.credentials, &head.headers);
            let caller = match caller.await {
                Ok(caller) => caller,
                Err(error) => return oauth::refusal(context, error),
            };
            let request = ClientRequest {
                app: &self.app,
                context,
                caller,
                head: &head,
                body,
                max_body_bytes: self.limits.max_body_bytes,
            };
            if kind == Some(Kind::Introspection) {
                introspection::serve(request, &web.issuer).await
            } else {
                revocation::serve(request).await
            }
        });
        self.page_in_time(context, label, page).await
    }

    /// Serves gRPC's reflection, or says in the caller's protocol that there is no such procedure.
    pub(super) async fn reflection(
        &self,
        context: &RequestContext,
        wire: Wire,
        problem: Option<ApiError>,
        head: Parts,
        mut body: BodyDrain,
    ) -> Response {
        let endpoint =
            endpoints::find_grpc(head.uri.path()).filter(|_| head.method == Method::POST);
        context.note_endpoint(endpoint);
        let encoder = self.encoder(wire);
        let reflection = self.web.as_ref().map(|web| &web.reflection);
        let reply = match (problem, endpoint, reflection) {
            (Some(error), ..) => Err(error),
            (None, Some(_), Some(reflection)) => {
                reflection::call(
                    reflection,
                    context,
                    head,
                    &mut body.body,
                    wire,
                    &self.limits,
                )
                .await
            }
            (None, ..) => Err(not_found(&self.methods, head.uri.path())),
        };
        let written = match reply {
            Ok(reply) => encoder.reflection(reply).await,
            Err(error) => Err(error),
        };
        if written.is_err() {
            body.drain(&self.limits).await;
        }
        encoder.finish(context, None, written)
    }

    /// `page` is boxed, because it passes through many hands: all that is large stays where it is.
    async fn page_in_time(
        &self,
        context: &RequestContext,
        label: &'static str,
        page: Pin<Box<impl Future<Output = Response>>>,
    ) -> Response {
        let deadline = Instant::now() + self.limits.handler_timeout;
        let page = in_time(deadline, label, async { Ok(page.await) }).await;
        page.unwrap_or_else(|error| {
            let status = match error.code() {
                Code::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            error::refusal(context, &error.with_status(status))
        })
    }
}

/// Names the procedure that was likely meant, or else the services that exist.
fn not_found(methods: &MethodTable, path: &str) -> ApiError {
    let reflection = endpoints::GRPC.iter().map(|line| line.path);
    let hint = if let Some(closest) = methods.find_closest(path, reflection) {
        format!(": did you mean {closest}?")
    } else {
        let services = methods.services().join(", ");
        format!("; the services here are {services}, and gRPC's reflection lists their procedures")
    };
    error::procedure_not_found(format!("there is no such procedure{hint}"))
        .with_status(StatusCode::NOT_FOUND)
}

/// Removes the body in the answer to `HEAD` (RFC 9110 §9.3.2).
fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}
