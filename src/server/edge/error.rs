//! Errors that the edge itself makes, and refusals outside of the RPC protocols: an HTTP status, and one line of
//! text. Those are not Connect errors, since a caller with a wrong content type or method did not speak Connect.

use std::{borrow::Cow, time::Duration};

use axum::{body::Body, response::Response};
use connectrpc_axum::Code;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    method::Streaming,
    protocol::{ACCEPT_POST, ACCEPT_POST_STREAM},
};
use crate::{
    domain::reason::Reason,
    server::{
        context::{CallResult, RequestContext},
        error::ApiError,
    },
};

pub(super) fn malformed(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::InvalidArgument, Reason::MalformedRequest, message)
}

pub(super) fn unsupported(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::Unimplemented, Reason::Unsupported, message)
}

pub(super) fn too_large(limit_bytes: usize) -> ApiError {
    let message = format!("the message is larger than {limit_bytes} bytes");
    ApiError::new(Code::ResourceExhausted, Reason::RequestTooLarge, message)
}

pub(super) fn internal(message: &'static str) -> ApiError {
    ApiError::new(Code::Internal, Reason::Internal, message)
}

pub(super) fn panicked() -> ApiError {
    internal("something is wrong in the server")
}

pub(super) fn deadline_exceeded() -> ApiError {
    let message = "the deadline of this request has passed";
    ApiError::new(Code::DeadlineExceeded, Reason::DeadlineExceeded, message)
}

/// The memory budget is exhausted.
pub(super) fn overloaded() -> ApiError {
    const SOON: Duration = Duration::from_secs(1);
    let message = "the server is overloaded: try again later";
    ApiError::new(Code::ResourceExhausted, Reason::Overloaded, message).with_retry(SOON)
}

pub(super) fn procedure_not_found(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::Unimplemented, Reason::ProcedureNotFound, message)
}

/// An error of connectrpc-axum (a message that cannot be decoded) or of tonic. They have no reason, so it gets the
/// one that its code suggests.
pub(super) fn foreign(code: Code, message: Option<String>) -> ApiError {
    let reason = match code {
        Code::InvalidArgument | Code::OutOfRange => Reason::MalformedRequest,
        Code::ResourceExhausted => Reason::RequestTooLarge,
        Code::Unimplemented => Reason::Unsupported,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        Code::PermissionDenied => Reason::PermissionDenied,
        Code::Unauthenticated => Reason::CredentialsInvalid,
        Code::Unavailable => Reason::Overloaded,
        _ => Reason::Internal,
    };
    ApiError::new(code, reason, message.unwrap_or_default())
}

/// A refusal with the status that the error names.
pub(super) fn refusal(context: &RequestContext, error: &ApiError) -> Response {
    if let Some(reason) = error.reason() {
        context.note_reason(reason);
    }
    context.note_call(CallResult {
        protocol: None,
        error: Some(error.code()),
    });
    let mut response = Response::new(Body::from(format!("{}\n", error.message())));
    *response.status_mut() = error.status().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    error.add_headers(headers);
    response
}

/// Refuses a POST whose content type the procedure does not accept, and names those it does.
pub(super) fn unsupported_media_type(
    context: &RequestContext,
    streaming: Option<Streaming>,
    headers: &HeaderMap,
) -> Response {
    let accepted = match streaming {
        None | Some(Streaming::Unary) => ACCEPT_POST,
        Some(Streaming::Server | Streaming::Client) => ACCEPT_POST_STREAM,
    };
    let problem = if headers.contains_key(header::CONTENT_TYPE) {
        "this procedure does not support the content type"
    } else {
        "the request has no content type"
    };
    let error = unsupported(format!("{problem}: send one of {accepted}"));
    let mut response = refusal(
        context,
        &error.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    );
    let accepted = HeaderValue::from_static(accepted);
    response.headers_mut().insert("accept-post", accepted);
    response
}

/// Refuses a GET whose query names no supported encoding.
pub(super) fn unsupported_encoding(context: &RequestContext) -> Response {
    let error = unsupported(
        "the query names no supported encoding: send \"?connect=v1&encoding=json&message={}\", \
         URL-encoded, or a POST with the content type application/json",
    );
    let mut response = refusal(
        context,
        &error.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    );
    let accepted = HeaderValue::from_static(ACCEPT_POST);
    response.headers_mut().insert("accept-post", accepted);
    response
}

pub(super) fn method_not_allowed(context: &RequestContext, may_get: bool) -> Response {
    let allowed = if may_get { "GET, POST" } else { "POST" };
    let error = unsupported(format!("this procedure allows {allowed}"));
    let mut response = refusal(context, &error.with_status(StatusCode::METHOD_NOT_ALLOWED));
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
