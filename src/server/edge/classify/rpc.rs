//! The head of a call: its protocol, its encoding, its timeout.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use connectrpc_axum::ConnectError;
use http::{HeaderMap, HeaderName, Method as HttpMethod, Uri, header, request::Parts};
use tokio::time::Instant;

use crate::server::{
    edge::{
        classified::Call,
        error, frame, http_error,
        method::{Method, Streaming},
        names,
        query::Query,
        timeout,
        wire::{Protocol, Wire},
    },
    limits::Limits,
};

/// Whether a request for an unknown procedure is a call nevertheless, so that its error is sent in the caller's
/// protocol. Connect's unary content types are common in web routes too, so there the path must look like a
/// procedure's.
pub(super) fn is_call(parts: &Parts, query: &Query) -> bool {
    match parts.method {
        HttpMethod::POST => Wire::of_post(&parts.headers)
            .is_some_and(|wire| wire.protocol.is_framed() || is_procedure_like(parts.uri.path())),
        HttpMethod::GET => query.is_call() && is_procedure_like(parts.uri.path()),
        _ => false,
    }
}

/// `/package.Service/Method`, or `/Service/Method`.
fn is_procedure_like(path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    let (Some(service), Some(method), None) = (segments.next(), segments.next(), segments.next())
    else {
        return false;
    };
    let is_name = service.contains('.') || service.starts_with(|c: char| c.is_ascii_uppercase());
    is_name && !method.is_empty()
}

/// The protocol, or the refusal of a method or content type that no protocol uses.
pub(super) fn wire(
    parts: &Parts,
    query: &Query,
    method: Option<&Method>,
) -> Result<Wire, Box<Response>> {
    let streaming = method.map(Method::streaming);
    let may_get = method.is_none_or(Method::allows_get);
    match parts.method {
        HttpMethod::POST => Wire::of_post(&parts.headers)
            .filter(|wire| match wire.protocol {
                Protocol::Connect => streaming.is_none_or(|s| s == Streaming::Unary),
                Protocol::ConnectStream => streaming.is_none_or(|s| s != Streaming::Unary),
                _ => true,
            })
            .ok_or_else(|| {
                Box::new(http_error::unsupported_media_type(
                    streaming,
                    &parts.headers,
                ))
            }),
        HttpMethod::GET if may_get => query
            .codec()
            .map(|codec| Wire::of_get(codec, &parts.headers))
            .ok_or_else(|| Box::new(http_error::unsupported_encoding())),
        _ => Err(Box::new(http_error::method_not_allowed(may_get))),
    }
}

/// Reads the call. Its path becomes canonical; a GET becomes a POST with the message as its body.
pub(super) fn call(
    parts: &mut Parts,
    body: &mut Body,
    query: Query,
    method: &Arc<Method>,
    wire: Wire,
    limits: &Limits,
) -> Result<Call, ConnectError> {
    let now = Instant::now();
    // Aliases are for clients of other versions of the contract, which may have other fields.
    let is_alias = parts.uri.path() != &**method.path();
    parts.uri = Uri::try_from(&**method.path()).expect("names of services and methods are paths");
    if method.streaming() == Streaming::Client {
        return Err(error::unsupported("client streaming is not supported"));
    }
    let timeout = timeout::read(&parts.headers, wire.protocol)?;
    let most = method.timeout(limits);
    let deadline = now + timeout.map_or(most, |timeout| timeout.min(most));
    let compressed = match wire.protocol {
        Protocol::ConnectGet => {
            let compressed = query.is_compressed()?;
            *body = Body::from(query.into_message()?);
            parts.method = HttpMethod::POST;
            compressed
        }
        Protocol::Connect => is_compressed(&parts.headers, header::CONTENT_ENCODING)?,
        Protocol::ConnectStream => is_compressed(&parts.headers, names::CONNECT_CONTENT_ENCODING)?,
        Protocol::Grpc | Protocol::GrpcWeb | Protocol::GrpcWebText => {
            is_compressed(&parts.headers, names::GRPC_ENCODING)?
        }
    };
    check_version(&parts.headers, wire.protocol)?;
    let limit = method.max_message_bytes(limits);
    if declared_length(&parts.headers) > frame::largest_body(wire.protocol, limit) {
        return Err(error::too_large(limit));
    }
    Ok(Call {
        method: Arc::clone(method),
        wire,
        compressed,
        refuses_unknown_fields: method.has_side_effects() && method.is_ours() && !is_alias,
        timeout,
        deadline,
    })
}

fn is_compressed(headers: &HeaderMap, name: HeaderName) -> Result<bool, ConnectError> {
    let mut values = headers.get_all(&name).iter();
    let value = values.next().map_or(&b"identity"[..], |v| v.as_bytes());
    if values.next().is_none() {
        if value.eq_ignore_ascii_case(b"identity") {
            return Ok(false);
        }
        if value.eq_ignore_ascii_case(b"gzip") {
            return Ok(true);
        }
    }
    Err(error::unsupported(format!(
        "{name} must be gzip or identity"
    )))
}

fn check_version(headers: &HeaderMap, protocol: Protocol) -> Result<(), ConnectError> {
    let mut versions = headers.get_all(names::CONNECT_PROTOCOL_VERSION).iter();
    if protocol.is_grpc() || versions.all(|version| version == "1") {
        return Ok(());
    }
    Err(error::malformed("connect-protocol-version must be 1"))
}

/// An invalid length is rejected by hyper.
fn declared_length(headers: &HeaderMap) -> usize {
    let length = headers.get(header::CONTENT_LENGTH);
    length
        .and_then(|l| l.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use connectrpc_axum::Code;

    #[test]
    fn procedures_have_two_segments_and_a_service_name() {
        for path in [
            "/a.B/C",
            "/TokenService/Nope",
            "/grpc.health.v1.Health/Check",
        ] {
            assert!(is_procedure_like(path), "{path}");
        }
        for path in [
            "/",
            "/a.B",
            "/a.B/",
            "/oauth2/introspect",
            "/oauth2/device/registration",
            "/a.B/C/D",
        ] {
            assert!(!is_procedure_like(path), "{path}");
        }
    }

    #[test]
    fn only_gzip_and_identity_are_known() {
        let encoded = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-encoding", http::HeaderValue::from_static(value));
            is_compressed(&headers, names::GRPC_ENCODING).map_err(|e| e.code())
        };
        assert_eq!(encoded("gzip"), Ok(true));
        assert_eq!(encoded("Identity"), Ok(false));
        assert_eq!(encoded("gzip, gzip"), Err(Code::Unimplemented));
        assert_eq!(encoded("br"), Err(Code::Unimplemented));
    }
}
