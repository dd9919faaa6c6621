//! The head of a call: its protocol, its encoding, its timeout.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method as HttpMethod, header, request::Parts};
use tokio::time::Instant;

use super::{
    error, frame,
    method::{Method, Streaming},
    protocol::{self, Protocol, Wire},
    query::Query,
};
use crate::server::{context::RequestContext, error::ApiError, limits::Limits};

/// A call with a valid head.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Arc<Method>,
    pub(super) wire: Wire,
    /// Whether its message may be compressed.
    pub(super) compressed: bool,
    /// Whether unknown fields are rejected in protobuf, as they are in JSON.
    pub(super) refuses_unknown_fields: bool,
    /// The timeout that the caller requested.
    pub(super) timeout: Option<Duration>,
    /// When the call must be over: the earlier of the caller's timeout and the server's.
    pub(super) deadline: Instant,
    /// The message of a GET, from its query.
    pub(super) in_query: Option<Bytes>,
}

/// Whether a request for an unknown procedure is a call nevertheless, so that its error is sent in the caller's
/// protocol. Connect's unary content types are common in web routes too, so there the path must look like a
/// procedure's.
pub(super) fn is_call(head: &Parts, query: &Query) -> bool {
    match head.method {
        HttpMethod::POST => Wire::of_post(&head.headers)
            .is_some_and(|wire| wire.protocol.is_framed() || is_procedure_like(head.uri.path())),
        HttpMethod::GET => query.is_call() && is_procedure_like(head.uri.path()),
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
    context: &RequestContext,
    head: &Parts,
    query: &Query,
    method: Option<&Arc<Method>>,
) -> Result<Wire, Box<Response>> {
    let streaming = method.map(|method| method.streaming());
    let may_get = method.is_none_or(|method| method.allows_get());
    match head.method {
        HttpMethod::POST => Wire::of_post(&head.headers)
            .filter(|wire| match wire.protocol {
                Protocol::Connect => streaming.is_none_or(|s| s == Streaming::Unary),
                Protocol::ConnectStream => streaming.is_none_or(|s| s != Streaming::Unary),
                _ => true,
            })
            .ok_or_else(|| {
                Box::new(error::unsupported_media_type(
                    context,
                    streaming,
                    &head.headers,
                ))
            }),
        HttpMethod::GET if may_get => query
            .codec()
            .map(|codec| Wire::of_get(codec, &head.headers))
            .ok_or_else(|| Box::new(error::unsupported_encoding(context))),
        _ => Err(Box::new(error::method_not_allowed(context, may_get))),
    }
}

impl Call {
    /// Reads the call to `method`, under whatever path.
    pub(super) fn read(
        head: &Parts,
        query: Query,
        method: &Arc<Method>,
        wire: Wire,
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        let now = Instant::now();
        // Aliases are for clients of other versions of the contract, which may have other fields.
        let is_alias = head.uri.path() != method.path();
        if method.streaming() == Streaming::Client {
            return Err(error::unsupported("client streaming is not supported"));
        }
        let timeout = read_timeout(&head.headers, wire.protocol)?;
        let most = method.timeout(limits);
        let deadline = now + timeout.map_or(most, |timeout| timeout.min(most));
        let mut in_query = None;
        let compressed = match wire.protocol {
            Protocol::ConnectGet => {
                let compressed = query.is_compressed()?;
                in_query = Some(query.into_message()?);
                compressed
            }
            Protocol::Connect => is_compressed(&head.headers, header::CONTENT_ENCODING)?,
            Protocol::ConnectStream => {
                is_compressed(&head.headers, protocol::CONNECT_CONTENT_ENCODING)?
            }
            Protocol::Grpc | Protocol::GrpcWeb | Protocol::GrpcWebText => {
                is_compressed(&head.headers, protocol::GRPC_ENCODING)?
            }
        };
        check_version(&head.headers, wire.protocol)?;
        let limit = method.max_message_bytes(limits);
        if declared_length(&head.headers) > frame::largest_body(wire.protocol, limit) {
            return Err(error::too_large(limit));
        }
        Ok(Self {
            method: Arc::clone(method),
            wire,
            compressed,
            refuses_unknown_fields: method.has_side_effects() && method.is_ours() && !is_alias,
            timeout,
            deadline,
            in_query,
        })
    }
}

fn is_compressed(headers: &HeaderMap, name: HeaderName) -> Result<bool, ApiError> {
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

fn check_version(headers: &HeaderMap, protocol: Protocol) -> Result<(), ApiError> {
    let mut versions = headers.get_all(protocol::CONNECT_PROTOCOL_VERSION).iter();
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

/// The caller's timeout, if set. An invalid one is an error: to wait longer or shorter than the caller thinks would
/// be worse.
fn read_timeout(headers: &HeaderMap, protocol: Protocol) -> Result<Option<Duration>, ApiError> {
    let (name, parse): (HeaderName, fn(&str) -> Option<Duration>) = if protocol.is_grpc() {
        (protocol::GRPC_TIMEOUT, grpc_timeout)
    } else {
        (protocol::CONNECT_TIMEOUT_MS, connect_timeout)
    };
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let timeout = value.to_str().ok().and_then(parse);
    match timeout {
        Some(Duration::ZERO) => Err(error::malformed(format!(
            "{name} is 0: omit it to use the server's own timeout"
        ))),
        Some(timeout) if values.next().is_none() => Ok(Some(timeout)),
        _ => Err(error::malformed(format!("{name} is not a valid timeout"))),
    }
}

/// One to ten digits of milliseconds.
fn connect_timeout(text: &str) -> Option<Duration> {
    Some(Duration::from_millis(digits(text, 10)?))
}

/// One to eight digits and a unit.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let amount = digits(text.strip_suffix(unit)?, 8)?;
    Some(match unit {
        'H' => Duration::from_secs(amount * 3600),
        'M' => Duration::from_secs(amount * 60),
        'S' => Duration::from_secs(amount),
        'm' => Duration::from_millis(amount),
        'u' => Duration::from_micros(amount),
        'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

fn digits(text: &str, most: usize) -> Option<u64> {
    let well_formed = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    well_formed.then(|| text.parse().ok()).flatten()
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
            is_compressed(&headers, protocol::GRPC_ENCODING).map_err(|e| e.code())
        };
        assert_eq!(encoded("gzip"), Ok(true));
        assert_eq!(encoded("Identity"), Ok(false));
        assert_eq!(encoded("gzip, gzip"), Err(Code::Unimplemented));
        assert_eq!(encoded("br"), Err(Code::Unimplemented));
    }

    #[test]
    fn timeouts_are_parsed_in_the_form_of_their_protocol() {
        assert_eq!(connect_timeout("0"), Some(Duration::ZERO));
        assert_eq!(
            connect_timeout("9999999999"),
            Some(Duration::from_millis(9_999_999_999))
        );
        for text in ["", "-1", "+1", "1.5", "1s", " 1", "10000000000"] {
            assert_eq!(connect_timeout(text), None, "{text:?}");
        }
        assert_eq!(grpc_timeout("1S"), Some(Duration::from_secs(1)));
        assert_eq!(grpc_timeout("2H"), Some(Duration::from_hours(2)));
        assert_eq!(
            grpc_timeout("99999999n"),
            Some(Duration::from_nanos(99_999_999))
        );
        for text in ["", "S", "1", "1s", "1h", "-1S", "123456789S", "1µ", "1 S"] {
            assert_eq!(grpc_timeout(text), None, "{text:?}");
        }
    }

    #[test]
    fn zero_timeout_is_refused_in_every_protocol() {
        for (protocol, name, values) in [
            (Protocol::Connect, "connect-timeout-ms", &["0", "000"][..]),
            (Protocol::ConnectGet, "connect-timeout-ms", &["0"]),
            (Protocol::ConnectStream, "connect-timeout-ms", &["0"]),
            (
                Protocol::Grpc,
                "grpc-timeout",
                &["0S", "0H", "0n", "00000000m"],
            ),
            (Protocol::GrpcWeb, "grpc-timeout", &["0u"]),
            (Protocol::GrpcWebText, "grpc-timeout", &["0M"]),
        ] {
            for value in values {
                let mut headers = HeaderMap::new();
                headers.insert(name, value.parse().unwrap());
                let error = read_timeout(&headers, protocol).unwrap_err();
                let message = error.message();
                assert!(message.starts_with(&format!("{name} is 0")), "{message}");
            }
        }
    }
}
