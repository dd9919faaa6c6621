//! Replies to Connect's unary calls: the result is in the status, and trailers are header fields.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use connectrpc_axum::Code;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{Encoder, RpcContext, append, trailers_of};
use crate::server::error::ApiError;

pub(super) fn success(
    encoder: &Encoder,
    call: &RpcContext,
    message: Bytes,
    compressed: bool,
) -> Response {
    let mut response = encoder.response(Some(call), Body::from(message));
    if compressed {
        let gzip = HeaderValue::from_static("gzip");
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, gzip);
    }
    append(response.headers_mut(), trailers(Some(call)));
    response
}

pub(super) fn failure(encoder: &Encoder, call: Option<&RpcContext>, error: &ApiError) -> Response {
    let json = error.to_connect(encoder.with_reasons);
    let json = serde_json::to_vec(&json).expect("a ConnectError is strings");
    let mut response = encoder.response(call, Body::from(json));
    let status = error.status().unwrap_or_else(|| status_of(error.code()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    error.add_headers(headers);
    append(headers, trailers(call));
    response
}

fn trailers(call: Option<&RpcContext>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in &trailers_of(call) {
        if let Ok(name) = HeaderName::try_from(format!("trailer-{name}")) {
            fields.append(name, value.clone());
        }
    }
    fields
}

/// The table "Error codes" of the Connect protocol.
fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Canceled => StatusCode::from_u16(499).expect("499 is a status"),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
