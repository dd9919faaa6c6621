//! A wire is a protocol with a codec.

use std::fmt;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;

use super::{HttpResponse, Procedure, Reply, connect, envelope};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    /// Connect, by POST.
    Connect,
    /// Connect, by GET.
    ConnectGet,
    /// gRPC over HTTP/2 with prior knowledge.
    Grpc,
    /// gRPC-web over HTTP/1.1.
    GrpcWeb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Codec {
    Proto,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Wire {
    pub(crate) protocol: Protocol,
    pub(crate) codec: Codec,
}

impl Wire {
    /// Connect with JSON, which curl and most tests use.
    pub(crate) const CURL: Self = Self::new(Protocol::Connect, Codec::Json);

    /// One for each protocol, and one with JSON.
    pub(crate) const POST: [Self; 4] = [
        Self::CURL,
        Self::new(Protocol::Connect, Codec::Proto),
        Self::new(Protocol::Grpc, Codec::Proto),
        Self::new(Protocol::GrpcWeb, Codec::Proto),
    ];

    pub(crate) const ALL: [Self; 8] = [
        Self::CURL,
        Self::new(Protocol::Connect, Codec::Proto),
        Self::new(Protocol::ConnectGet, Codec::Json),
        Self::new(Protocol::ConnectGet, Codec::Proto),
        Self::new(Protocol::Grpc, Codec::Proto),
        Self::new(Protocol::Grpc, Codec::Json),
        Self::new(Protocol::GrpcWeb, Codec::Proto),
        Self::new(Protocol::GrpcWeb, Codec::Json),
    ];

    /// Those that can carry a stream.
    pub(crate) const STREAMS: [Self; 6] = [
        Self::CURL,
        Self::new(Protocol::Connect, Codec::Proto),
        Self::new(Protocol::Grpc, Codec::Proto),
        Self::new(Protocol::Grpc, Codec::Json),
        Self::new(Protocol::GrpcWeb, Codec::Proto),
        Self::new(Protocol::GrpcWeb, Codec::Json),
    ];

    pub(crate) const fn new(protocol: Protocol, codec: Codec) -> Self {
        Self { protocol, codec }
    }

    pub(crate) fn is_get(self) -> bool {
        self.protocol == Protocol::ConnectGet
    }

    fn content_type(self, procedure: &Procedure) -> &'static str {
        match (self.protocol, self.codec) {
            (Protocol::Connect, Codec::Proto) if procedure.is_stream() => {
                "application/connect+proto"
            }
            (Protocol::Connect, Codec::Json) if procedure.is_stream() => "application/connect+json",
            (Protocol::Connect | Protocol::ConnectGet, Codec::Proto) => "application/proto",
            (Protocol::Connect | Protocol::ConnectGet, Codec::Json) => "application/json",
            (Protocol::Grpc, Codec::Proto) => "application/grpc+proto",
            (Protocol::Grpc, Codec::Json) => "application/grpc+json",
            (Protocol::GrpcWeb, Codec::Proto) => "application/grpc-web+proto",
            (Protocol::GrpcWeb, Codec::Json) => "application/grpc-web+json",
        }
    }

    pub(crate) fn request(self, procedure: &Procedure, message: &Value) -> Request<Bytes> {
        self.request_of_bytes(procedure, &procedure.encode(self.codec, message))
    }

    /// A request with these bytes as the message, which need not be valid.
    pub(crate) fn request_of_bytes(self, procedure: &Procedure, message: &[u8]) -> Request<Bytes> {
        let path = procedure.path();
        if self.is_get() {
            let uri = format!("{path}?{}", connect::query(self.codec, message));
            return Request::builder().uri(uri).body(Bytes::new()).unwrap();
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("content-type", self.content_type(procedure));
        match self.protocol {
            Protocol::Connect | Protocol::ConnectGet => request
                .header("connect-protocol-version", "1")
                .body(if procedure.is_stream() {
                    envelope::wrap(0, message)
                } else {
                    Bytes::copy_from_slice(message)
                }),
            Protocol::Grpc => request
                .header("te", "trailers")
                .body(envelope::wrap(0, message)),
            Protocol::GrpcWeb => request
                .header("x-grpc-web", "1")
                .body(envelope::wrap(0, message)),
        }
        .unwrap()
    }

    pub(crate) fn answer(self, procedure: &Procedure, reply: HttpResponse) -> Reply {
        let content_type = reply.head.headers["content-type"].to_str().unwrap();
        let web = self.protocol == Protocol::GrpcWeb;
        let decode = |message: &[u8]| procedure.decode(self.codec, message);
        let mut messages = Vec::new();
        let result = match self.protocol {
            Protocol::Connect | Protocol::ConnectGet if !procedure.is_stream() => {
                if reply.head.status == 200 {
                    assert_eq!(content_type, self.content_type(procedure));
                    Ok(decode(&reply.body))
                } else {
                    assert_eq!(content_type, "application/json");
                    Err(connect::failure(&reply))
                }
            }
            protocol => {
                assert_eq!(content_type, self.content_type(procedure));
                assert_eq!(reply.head.status, 200, "errors come in the last frame");
                if procedure.is_stream() {
                    let (sent, end) = match protocol {
                        Protocol::Connect => connect::stream(&reply),
                        _ => envelope::stream(&reply, web),
                    };
                    messages = sent.into_iter().map(decode).collect();
                    end.map(|()| messages.clone().into())
                } else {
                    envelope::answer(&reply, web).map(decode)
                }
            }
        };
        Reply {
            result,
            messages,
            status: reply.head.status,
            headers: reply.head.headers,
            body: reply.body,
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with {:?}", self.protocol, self.codec)
    }
}
