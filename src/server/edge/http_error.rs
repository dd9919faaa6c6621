//! Refusals outside of the RPC protocols: an HTTP status, and one line of text. They are not Connect errors, since
//! a caller with a wrong content type or method did not speak Connect.

use axum::{body::Body, response::Response};
use connectrpc_axum::{Code, ConnectError};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    call_outcome::CallOutcome,
    error,
    method::Streaming,
    wire::{ACCEPT_POST, ACCEPT_POST_STREAM},
};

pub(super) fn refusal(status: StatusCode, error: &ConnectError) -> Response {
    error::note_reason(error);
    let sentence = format!("{}\n", error.message().unwrap_or_default());
    let mut response = Response::new(Body::from(sentence));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let retry_after = error.meta().and_then(|meta| meta.get(header::RETRY_AFTER));
    if let Some(retry_after) = retry_after {
        headers.insert(header::RETRY_AFTER, retry_after.clone());
    }
    let code: Option<Code> = Some(error.code());
    CallOutcome {
        endpoint: None,
        protocol: None,
        code,
    }
    .note(response.extensions_mut());
    response
}

/// Refuses a POST whose content type the procedure does not accept, and names those it does.
pub(super) fn unsupported_media_type(
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
    let error = error::unsupported(format!("{problem}: send one of {accepted}"));
    let mut response = refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error);
    let accepted = HeaderValue::from_static(accepted);
    response.headers_mut().insert("accept-post", accepted);
    response
}

/// Refuses a GET whose query names no supported encoding.
pub(super) fn unsupported_encoding() -> Response {
    let error = error::unsupported(
        "the query names no supported encoding: send \"?connect=v1&encoding=json&message={}\", \
         URL-encoded, or a POST with the content type application/json",
    );
    let mut response = refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error);
    let accepted = HeaderValue::from_static(ACCEPT_POST);
    response.headers_mut().insert("accept-post", accepted);
    response
}

pub(super) fn method_not_allowed(may_get: bool) -> Response {
    let allowed = if may_get { "GET, POST" } else { "POST" };
    let error = error::unsupported(format!("this procedure allows {allowed}"));
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, &error);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
