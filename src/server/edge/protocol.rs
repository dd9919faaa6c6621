//! The caller's protocol and codec, from its method and content type.
//!
//! The reply, error or not, is sent the same way, so this is determined before anything can fail.

use http::{HeaderMap, HeaderName, header};

pub(super) const CONNECT_ACCEPT_ENCODING: HeaderName =
    HeaderName::from_static("connect-accept-encoding");
pub(super) const CONNECT_CONTENT_ENCODING: HeaderName =
    HeaderName::from_static("connect-content-encoding");
pub(super) const CONNECT_PROTOCOL_VERSION: HeaderName =
    HeaderName::from_static("connect-protocol-version");
pub(super) const CONNECT_TIMEOUT_MS: HeaderName = HeaderName::from_static("connect-timeout-ms");
pub(super) const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
pub(super) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The RPC protocols, with their variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Connect unary: POST.
    Connect,
    /// Connect unary: GET, with the request in the query.
    ConnectGet,
    /// Connect streaming, with enveloped messages.
    ConnectStream,
    /// gRPC.
    Grpc,
    /// gRPC-web, binary.
    GrpcWeb,
    /// gRPC-web in base64.
    GrpcWebText,
}

impl Protocol {
    /// A short name for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectGet => "connect-get",
            Self::ConnectStream => "connect-stream",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
            Self::GrpcWebText => "grpc-web-text",
        }
    }

    /// Whether messages have a five-byte prefix.
    pub const fn is_framed(self) -> bool {
        !matches!(self, Self::Connect | Self::ConnectGet)
    }

    /// Whether this is one of the three forms of gRPC.
    pub const fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb | Self::GrpcWebText)
    }
}

/// The encoding of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Protobuf.
    Proto,
    /// `ProtoJSON`.
    Json,
}

/// The caller's protocol, codec and compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    /// The protocol.
    pub(super) protocol: Protocol,
    /// The codec.
    pub(super) codec: Codec,
    /// Whether the reply may be gzipped.
    pub(super) accepts_gzip: bool,
    /// The content type of the reply's messages.
    pub(super) content_type: &'static str,
}

impl Wire {
    /// The wire format of a POST; `None` if its content type belongs to no protocol.
    pub(super) fn of_post(headers: &HeaderMap) -> Option<Self> {
        let (protocol, codec, content_type) = content_type(headers)?;
        let accepts_gzip = match protocol {
            Protocol::Connect | Protocol::ConnectGet => {
                accepts_gzip(headers, &header::ACCEPT_ENCODING)
            }
            Protocol::ConnectStream => accepts_gzip(headers, &CONNECT_ACCEPT_ENCODING),
            Protocol::Grpc | Protocol::GrpcWeb | Protocol::GrpcWebText => {
                accepts_gzip(headers, &GRPC_ACCEPT_ENCODING)
            }
        };
        Some(Self {
            protocol,
            codec,
            accepts_gzip,
            content_type,
        })
    }

    /// The wire format of a GET with this codec.
    pub(super) fn of_get(codec: Codec, headers: &HeaderMap) -> Self {
        Self {
            protocol: Protocol::ConnectGet,
            codec,
            accepts_gzip: accepts_gzip(headers, &header::ACCEPT_ENCODING),
            content_type: match codec {
                Codec::Proto => "application/proto",
                Codec::Json => "application/json",
            },
        }
    }
}

/// The media types of all protocols.
const MEDIA_TYPES: [(&str, Protocol, Codec); 13] = [
    ("application/proto", Protocol::Connect, Codec::Proto),
    ("application/json", Protocol::Connect, Codec::Json),
    (
        "application/connect+proto",
        Protocol::ConnectStream,
        Codec::Proto,
    ),
    (
        "application/connect+json",
        Protocol::ConnectStream,
        Codec::Json,
    ),
    ("application/grpc", Protocol::Grpc, Codec::Proto),
    ("application/grpc+proto", Protocol::Grpc, Codec::Proto),
    ("application/grpc+json", Protocol::Grpc, Codec::Json),
    ("application/grpc-web", Protocol::GrpcWeb, Codec::Proto),
    (
        "application/grpc-web+proto",
        Protocol::GrpcWeb,
        Codec::Proto,
    ),
    ("application/grpc-web+json", Protocol::GrpcWeb, Codec::Json),
    (
        "application/grpc-web-text",
        Protocol::GrpcWebText,
        Codec::Proto,
    ),
    (
        "application/grpc-web-text+proto",
        Protocol::GrpcWebText,
        Codec::Proto,
    ),
    (
        "application/grpc-web-text+json",
        Protocol::GrpcWebText,
        Codec::Json,
    ),
];

/// The value of `Accept-Post` in the refusal of an unknown content type.
pub(super) const ACCEPT_POST: &str = "application/json, application/proto, application/grpc, \
     application/grpc+proto, application/grpc+json, application/grpc-web, application/grpc-web+proto, \
     application/grpc-web+json, application/grpc-web-text, application/grpc-web-text+proto";

/// The same for a procedure that replies with a stream.
pub(super) const ACCEPT_POST_STREAM: &str = "application/connect+json, application/connect+proto, \
     application/grpc, application/grpc+proto, application/grpc+json, application/grpc-web, \
     application/grpc-web+proto, application/grpc-web+json, application/grpc-web-text, \
     application/grpc-web-text+proto";

/// The protocol of a content type. Media types are case-insensitive (RFC 9110, 8.3.1); parameters are ignored,
/// since none of these types defines any (for JSON: RFC 8259, 11).
fn content_type(headers: &HeaderMap) -> Option<(Protocol, Codec, &'static str)> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let media = value.split(';').next()?.trim();
    let (name, protocol, codec) = MEDIA_TYPES
        .iter()
        .find(|(name, ..)| media.eq_ignore_ascii_case(name))?;
    Some((*protocol, *codec, *name))
}

/// Whether a list of encodings contains gzip, other than with `q=0` (RFC 9110, 12.5.3).
fn accepts_gzip(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let is_gzip = parts.next().is_some_and(|e| e.eq_ignore_ascii_case("gzip"));
            let refused = parts.any(|p| {
                p.strip_prefix("q=")
                    .and_then(|q| q.parse::<f32>().ok())
                    .is_some_and(|q| q <= 0.0)
            });
            is_gzip && !refused
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    fn protocol(value: &'static str) -> Option<(Protocol, Codec)> {
        Wire::of_post(&headers("content-type", value)).map(|w| (w.protocol, w.codec))
    }

    #[test]
    fn media_types_are_matched_without_case_and_parameters() {
        let json = Some((Protocol::Connect, Codec::Json));
        assert_eq!(protocol("application/json"), json);
        assert_eq!(protocol("Application/JSON"), json);
        assert_eq!(protocol("application/json; charset=UTF-8"), json);
        assert_eq!(protocol("application/json;charset=\"utf-8\""), json);
        for parameters in [
            ";charset=UTF8",
            "; charset=latin1",
            " ; foo=bar",
            "; foo",
            ";",
            "; a=\";\"",
        ] {
            let value = format!("application/json{parameters}").leak();
            assert_eq!(protocol(value), json, "{parameters}");
        }
        assert_eq!(protocol("application/grpc+foo"), None);
        assert_eq!(
            protocol("application/grpc-web-text"),
            Some((Protocol::GrpcWebText, Codec::Proto))
        );
        assert_eq!(protocol("text/plain"), None);
    }

    #[test]
    fn two_content_types_are_rejected() {
        let mut both = headers("content-type", "application/json");
        both.append(
            "content-type",
            HeaderValue::from_static("application/proto"),
        );
        assert!(Wire::of_post(&both).is_none());
    }

    #[test]
    fn gzip_with_a_zero_weight_is_not_accepted() {
        for (value, accepted) in [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("identity", false),
            ("xgzip", false),
        ] {
            assert_eq!(
                accepts_gzip(&headers("accept-encoding", value), &header::ACCEPT_ENCODING),
                accepted,
                "{value}"
            );
        }
    }
}
