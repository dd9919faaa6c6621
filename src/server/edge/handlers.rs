//! The seam to connectrpc-axum, whose router calls the typed handlers over Connect with one protobuf message,
//! whatever the caller's protocol.
//!
//! A handler of that crate knows a request's extensions and its message, and the router replaces errors and drops
//! header fields. So one extension, [`RpcContext`], carries in what is known of the call, and out what the handler
//! says besides its reply. Nothing else in the server is passed by extensions.

use std::{
    future::Future,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{FromRequestParts, State},
    response::Response,
};
use bytes::Bytes;
use connectrpc_axum::{
    Code, ConnectError, ConnectLayer, ConnectRequest, ConnectResponse, MessageLimits, StreamBody,
};
use futures_util::{Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request, StatusCode, header,
    request::Parts,
};
use serde::Deserialize;
use tower::ServiceExt;

use super::{call::Call, error, method::Streaming, protocol::Protocol};
use crate::{
    app::{Error, caller::Caller, error::Unauthenticated},
    server::{
        authenticate::{Credential, HeadCaller},
        context::RequestContext,
        error::ApiError,
    },
};

/// Error replies of connectrpc-axum itself are small; this only limits the damage of a bug.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// A call on its way to a handler, and what the handler says besides its reply.
#[derive(Clone, Debug)]
pub struct RpcContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request: RequestContext,
    caller: HeadCaller,
    headers: HeaderMap,
    call: Call,
    reply: Mutex<ReplySlot>,
}

#[derive(Debug, Default)]
struct ReplySlot {
    error: Option<ApiError>,
    headers: HeaderMap,
    trailers: HeaderMap,
}

impl RpcContext {
    pub(super) fn new(
        request: RequestContext,
        caller: HeadCaller,
        headers: HeaderMap,
        call: Call,
    ) -> Self {
        Self(Arc::new(Inner {
            request,
            caller,
            headers,
            call,
            reply: Mutex::default(),
        }))
    }

    pub(super) fn call(&self) -> &Call {
        &self.0.call
    }

    /// The header fields of the request.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The caller's protocol.
    pub fn protocol(&self) -> Protocol {
        self.0.call.wire.protocol
    }

    /// The timeout that the caller requested.
    pub fn timeout(&self) -> Option<Duration> {
        self.0.call.timeout
    }

    /// The canonical path of the procedure.
    pub fn path(&self) -> &str {
        self.0.call.method.path()
    }

    /// Adds a header field to the reply, whether it is a message or an error.
    pub fn add_header(&self, name: HeaderName, value: HeaderValue) {
        self.reply().headers.append(name, value);
    }

    /// Adds a trailer to the reply.
    pub fn add_trailer(&self, name: HeaderName, value: HeaderValue) {
        self.reply().trailers.append(name, value);
    }

    /// Keeps the error for the edge, which encodes it. What is returned only ends the handler.
    pub fn fail(&self, error: ApiError) -> ConnectError {
        let code = error.code();
        self.reply().error = Some(error);
        ConnectError::from_code(code)
    }

    pub(super) fn take_error(&self) -> Option<ApiError> {
        self.reply().error.take()
    }

    pub(super) fn take_headers(&self) -> HeaderMap {
        std::mem::take(&mut self.reply().headers)
    }

    pub(super) fn take_trailers(&self) -> HeaderMap {
        std::mem::take(&mut self.reply().trailers)
    }

    fn reply(&self) -> MutexGuard<'_, ReplySlot> {
        self.0.reply.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sync> FromRequestParts<S> for RpcContext {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ConnectError> {
        let context = parts.extensions.remove();
        context.ok_or_else(|| ConnectError::from_code(Code::Internal))
    }
}

/// What a handler takes besides its state and its message.
pub trait FromCall: Sized + Send {
    /// Takes it from the call.
    ///
    /// # Errors
    /// The call does not have it.
    fn from_call(call: &RpcContext) -> Result<Self, ApiError>;
}

/// A handler that takes its caller cannot run without one.
impl FromCall for Caller {
    fn from_call(call: &RpcContext) -> Result<Self, ApiError> {
        match &call.0.caller {
            HeadCaller::Known(caller) => Ok(caller.clone()),
            HeadCaller::Anonymous | HeadCaller::Deferred(_) => {
                Err(Error::from(Unauthenticated::Missing).into())
            }
        }
    }
}

impl FromCall for Option<Caller> {
    fn from_call(call: &RpcContext) -> Result<Self, ApiError> {
        Ok(match &call.0.caller {
            HeadCaller::Known(caller) => Some(caller.clone()),
            HeadCaller::Anonymous | HeadCaller::Deferred(_) => None,
        })
    }
}

impl FromCall for Credential {
    fn from_call(call: &RpcContext) -> Result<Self, ApiError> {
        Ok(match &call.0.caller {
            HeadCaller::Deferred(credential) => credential.clone(),
            HeadCaller::Anonymous | HeadCaller::Known(_) => Self::Missing,
        })
    }
}

impl FromCall for RequestContext {
    fn from_call(call: &RpcContext) -> Result<Self, ApiError> {
        Ok(call.0.request.clone())
    }
}

impl FromCall for RpcContext {
    fn from_call(call: &RpcContext) -> Result<Self, ApiError> {
        Ok(call.clone())
    }
}

impl<A: FromCall, B: FromCall> FromCall for (A, B) {
    fn from_call(call: &RpcContext) -> Result<Self, ApiError> {
        Ok((A::from_call(call)?, B::from_call(call)?))
    }
}

type Handling<T> = BoxFuture<'static, Result<ConnectResponse<T>, ConnectError>>;

/// Makes a handler of connectrpc-axum from a function of the state, what it takes from the call, and the message.
pub fn unary<S, C, Req, Resp, H, F>(
    handle: H,
) -> impl Fn(State<S>, RpcContext, ConnectRequest<Req>) -> Handling<Resp> + Clone + Send + Sync + 'static
where
    S: Send + 'static,
    C: FromCall + 'static,
    Req: Send + 'static,
    H: Fn(S, C, Req) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Resp, ApiError>> + Send,
{
    move |State(state), call, ConnectRequest(request)| {
        let handle = handle.clone();
        Box::pin(async move {
            let reply = async { handle(state, C::from_call(&call)?, request).await }.await;
            reply.map(ConnectResponse).map_err(|error| call.fail(error))
        })
    }
}

type Messages<T> = StreamBody<BoxStream<'static, Result<T, ConnectError>>>;

/// The same for a function that returns a stream of messages.
pub fn server_stream<S, C, Req, Resp, H, F, M>(
    handle: H,
) -> impl Fn(State<S>, RpcContext, ConnectRequest<Req>) -> Handling<Messages<Resp>>
+ Clone
+ Send
+ Sync
+ 'static
where
    S: Send + 'static,
    C: FromCall + 'static,
    Req: Send + 'static,
    H: Fn(S, C, Req) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<M, ApiError>> + Send,
    M: Stream<Item = Result<Resp, ApiError>> + Send + 'static,
{
    move |State(state), call, ConnectRequest(request)| {
        let handle = handle.clone();
        Box::pin(async move {
            let reply = async { handle(state, C::from_call(&call)?, request).await }.await;
            let messages = reply.map_err(|error| call.fail(error))?;
            let messages = messages.map(move |item| item.map_err(|error| call.fail(error)));
            Ok(ConnectResponse(StreamBody::new(messages.boxed())))
        })
    }
}

/// The router of all handlers.
#[derive(Clone, Debug)]
pub(super) struct Handlers(Router);

impl Handlers {
    /// `router` holds the generated routers. The layer's own limits are off, since the edge enforces them; without
    /// the layer the handlers would answer in JSON.
    pub(super) fn new(router: Router) -> Self {
        let limits = MessageLimits::new();
        Self(router.layer(ConnectLayer::new().limits(limits)))
    }

    /// Calls the handler. Returns the reply's message, or a Connect stream of messages.
    pub(super) async fn call(
        &self,
        context: &RpcContext,
        message: Bytes,
    ) -> Result<Body, ApiError> {
        let method = &context.call().method;
        let content_type = HeaderValue::from_static(match method.streaming() {
            Streaming::Unary => "application/proto",
            Streaming::Server | Streaming::Client => "application/connect+proto",
        });
        let mut request = Request::new(Body::from(message));
        *request.method_mut() = HttpMethod::POST;
        *request.uri_mut() = method.uri().clone();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type.clone());
        request.extensions_mut().insert(context.clone());
        let Ok(response) = self.0.clone().oneshot(request).await;
        if let Some(error) = context.take_error() {
            return Err(error);
        }
        let found = response.headers().get(header::CONTENT_TYPE);
        if response.status() == StatusCode::OK && found == Some(&content_type) {
            return Ok(response.into_body());
        }
        Err(error_of(response).await)
    }
}

/// An error of connectrpc-axum itself, in JSON.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorJson {
    code: String,
    message: Option<String>,
}

impl ErrorJson {
    pub(super) fn into_error(self) -> ApiError {
        let code = Code::from_str(&self.code).unwrap_or(Code::Unknown);
        error::foreign(code, self.message)
    }
}

async fn error_of(response: Response) -> ApiError {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_ERROR_BYTES).await.unwrap_or_default();
    if let Ok(error) = serde_json::from_slice::<ErrorJson>(&body) {
        return error.into_error();
    }
    match parts.status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            error::procedure_not_found("there is no such procedure")
        }
        status => {
            tracing::error!(
                status = status.as_u16(),
                "a handler sent a reply that is not Connect"
            );
            error::panicked()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    #[tokio::test]
    async fn error_of_connectrpc_axum_is_read_and_gets_a_reason() {
        let error = ConnectError::new(Code::InvalidArgument, "not protobuf");
        let error = error_of(error.into_response()).await;
        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(error.message(), "not protobuf");
        let reason = error.reason().unwrap();
        assert_eq!(reason.as_str(), "MALFORMED_REQUEST");
    }

    #[tokio::test]
    async fn reply_that_is_not_connect_is_an_error() {
        let missing = error_of(StatusCode::NOT_FOUND.into_response()).await;
        assert_eq!(missing.code(), Code::Unimplemented);
        let odd = error_of("hello".into_response()).await;
        assert_eq!(odd.code(), Code::Internal);
    }
}
