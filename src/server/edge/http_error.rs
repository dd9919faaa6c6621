//! Refusals outside of all protocols: the status says it, and the body is a sentence for whoever reads it.
//! It is no Connect error: a caller whose content type or method is wrong did not speak Connect.

use axum::{body::Body, response::Response};
use connectrpc_axum::{Code, ConnectError};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    call_outcome::CallOutcome,
    error,
    method::Streaming,
    wire::{ACCEPT_POST, ACCEPT_POST_STREAM},
};

/// A refusal with this status.
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

/// A POST without a content type of this procedure's, which is told what to send.
pub(super) fn unsupported_media_type(
    streaming: Option<Streaming>,
    headers: &HeaderMap,
) -> Response {
    let accepted = match streaming {
        None | Some(Streaming::Unary) => ACCEPT_POST,
        Some(Streaming::Server | Streaming::Client) => ACCEPT_POST_STREAM,
    };
    let problem = if headers.contains_key(header::CONTENT_TYPE) {
        "the content type is none of this procedure's"
    } else {
        "the request has no content type"
    };
    let error = error::unsupported(format!("{problem}: send one of {accepted}"));
    let mut response = refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error);
    let accepted = HeaderValue::from_static(accepted);
    response.headers_mut().insert("accept-post", accepted);
    response
}

/// A GET whose query names no encoding that is spoken.
pub(super) fn unsupported_encoding() -> Response {
    let error = error::unsupported(
        "the query names no encoding of this procedure's: send \"?connect=v1&encoding=json&message={}\", \
         URL-encoded, or a POST with the content type application/json",
    );
    let mut response = refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error);
    let accepted = HeaderValue::from_static(ACCEPT_POST);
    response.headers_mut().insert("accept-post", accepted);
    response
}

pub(super) fn method_not_allowed(may_get: bool) -> Response {
    let allowed = if may_get { "GET, POST" } else { "POST" };
    let error = error::unsupported(format!("this procedure is called by {allowed}"));
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, &error);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
