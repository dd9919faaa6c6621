//! The formats in which a message can be sent (content type, framing, codec), and the result of a response in any of
//! them.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use serde_json::Value;

use crate::client::{CODES, END_OF_STREAM, HttpResponse, Procedure, split_frame, wrap_frame};

const CONNECT: (&str, &str) = ("connect-timeout-ms", "50");
const GRPC: (&str, &str) = ("grpc-timeout", "50m");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Binary,
    Base64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct MessageFormat {
    pub(super) content_type: &'static str,
    pub(super) framing: Framing,
    pub(super) json: bool,
    /// HTTP/2, which only gRPC requires.
    pub(super) http2: bool,
    /// The header field that names the compression of the message.
    pub(super) encoding: &'static str,
    /// The header field of the caller's deadline, and a value of 50 ms.
    pub(super) timeout: (&'static str, &'static str),
}

impl MessageFormat {
    pub(super) const JSON: Self = Self {
        content_type: "application/json",
        framing: Framing::None,
        json: true,
        http2: false,
        encoding: "content-encoding",
        timeout: CONNECT,
    };

    /// All formats. HTTP/1.1 and HTTP/2 alternate where both are possible.
    pub(super) const ALL: [Self; 8] = [
        Self::JSON,
        Self {
            content_type: "application/proto",
            json: false,
            ..Self::JSON
        },
        Self {
            content_type: "application/proto",
            json: false,
            http2: true,
            ..Self::JSON
        },
        Self::grpc("application/grpc", Framing::Binary, false, true),
        Self::grpc("application/grpc+json", Framing::Binary, true, true),
        Self::grpc("application/grpc-web+proto", Framing::Binary, false, false),
        Self::grpc("application/grpc-web+json", Framing::Binary, true, true),
        Self::grpc("application/grpc-web-text", Framing::Base64, false, false),
    ];

    /// The formats for a procedure. Connect has another one for streams.
    pub(super) fn of(procedure: &Procedure) -> [Self; 8] {
        let mut all = Self::ALL;
        if procedure.is_stream() {
            for format in &mut all {
                *format = format.of_streams();
            }
        }
        all
    }

    /// The JSON format for a procedure.
    pub(super) fn json_of(procedure: &Procedure) -> Self {
        let [first, ..] = Self::of(procedure);
        first
    }

    pub(super) fn of_streams(self) -> Self {
        if self.framing != Framing::None {
            return self;
        }
        Self {
            content_type: if self.json {
                "application/connect+json"
            } else {
                "application/connect+proto"
            },
            framing: Framing::Binary,
            encoding: "connect-content-encoding",
            ..self
        }
    }

    const fn grpc(content_type: &'static str, framing: Framing, json: bool, http2: bool) -> Self {
        Self {
            content_type,
            framing,
            json,
            http2,
            encoding: "grpc-encoding",
            timeout: GRPC,
        }
    }

    /// A request with this message.
    pub(super) fn request(self, path: &str, token: &str, message: &[u8]) -> Request<Bytes> {
        self.framed(path, token, 0, message)
    }

    /// A request whose message is compressed and declared so.
    pub(super) fn packed(self, path: &str, token: &str, packed: &[u8]) -> Request<Bytes> {
        let request = self.framed(path, token, 1, packed);
        with(request, self.encoding, "gzip")
    }

    fn framed(self, path: &str, token: &str, flags: u8, message: &[u8]) -> Request<Bytes> {
        let body = match self.framing {
            Framing::None => Bytes::copy_from_slice(message),
            Framing::Binary | Framing::Base64 => wrap_frame(flags, message),
        };
        self.raw(path, token, &body)
    }

    /// A request with this body, before base64.
    pub(super) fn raw(self, path: &str, token: &str, body: &[u8]) -> Request<Bytes> {
        let body = match self.framing {
            Framing::Base64 => STANDARD.encode(body).into(),
            _ => Bytes::copy_from_slice(body),
        };
        let request = Request::post(path)
            .header("content-type", self.content_type)
            .header("authorization", format!("Bearer {token}"));
        request.body(body).unwrap()
    }

    /// A message of this many bytes that every procedure can decode.
    pub(super) fn padded(self, bytes: usize) -> Vec<u8> {
        if self.json {
            let mut message = b"{}".to_vec();
            message.resize(bytes, b' ');
            return message;
        }
        // Unknown fields of 4,000 bytes: a tag of three bytes and a length of up to three.
        let length = bytes - 5;
        let mut message = vec![0x82, 0xfa, 0x01];
        let mut rest = length - 1;
        for _ in 0..2 {
            message.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        message.push(u8::try_from(rest).unwrap());
        message.resize(bytes, 0);
        message
    }
}

/// Adds a header field.
pub(super) fn with(mut request: Request<Bytes>, name: &str, value: &str) -> Request<Bytes> {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
    request.headers_mut().append(name, value);
    request
}

/// `message`, compressed with gzip.
pub(super) fn gzip(message: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(message).unwrap();
    packer.finish().unwrap()
}

/// `ok`, an error code of the caller's protocol, or a status like `http 415` outside of any protocol.
pub(super) fn verdict(reply: &HttpResponse) -> String {
    let content_type = text(reply, "content-type");
    let status = reply.head.status.as_u16();
    if content_type.starts_with("application/grpc") {
        assert_eq!(status, 200, "gRPC sends errors in trailers");
        return CODES[grpc_status(reply, content_type)].to_owned();
    }
    if content_type.starts_with("application/connect+") {
        assert_eq!(status, 200, "streams send errors at their end");
        let frames = split_frame(&reply.body);
        let (flags, end) = *frames.last().expect("a stream has an end");
        assert_eq!(flags, END_OF_STREAM);
        let end: Value = serde_json::from_slice(end).unwrap();
        return end.get("error").map_or("ok".to_owned(), code);
    }
    if status == 200 {
        return "ok".to_owned();
    }
    if content_type != "application/json" {
        return format!("http {status}");
    }
    code(&serde_json::from_slice(&reply.body).unwrap())
}

fn code(error: &Value) -> String {
    error["code"].as_str().unwrap().to_owned()
}

fn grpc_status(reply: &HttpResponse, content_type: &str) -> usize {
    let number = |text: &str| text.trim().parse().unwrap();
    if !content_type.starts_with("application/grpc-web") {
        let found = reply.head.headers.get("grpc-status");
        let status = found.or_else(|| reply.trailers.get("grpc-status"));
        return number(status.expect("a status").to_str().unwrap());
    }
    let body = if content_type.starts_with("application/grpc-web-text") {
        // Each frame of a stream has its own padding.
        let groups = reply.body.chunks(4);
        groups
            .flat_map(|four| STANDARD.decode(four).unwrap())
            .collect()
    } else {
        reply.body.to_vec()
    };
    let frames = split_frame(&body);
    let (flags, trailers) = *frames.last().expect("gRPC-web ends with its trailers");
    assert_eq!(flags, 0x80);
    let trailers = str::from_utf8(trailers).unwrap();
    let mut lines = trailers.lines();
    let status = lines.find_map(|line| line.strip_prefix("grpc-status:"));
    number(status.expect("a status"))
}

pub(super) fn text<'a>(reply: &'a HttpResponse, name: &str) -> &'a str {
    let value = reply.head.headers.get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

/// Whether the response blames the server or a backend, which must never happen for a client's
/// mistake.
pub(super) fn blames_the_server(reply: &HttpResponse) -> bool {
    let status = reply.head.status.as_u16();
    let code = verdict(reply);
    matches!(status, 500 | 502 | 503 | 504)
        || matches!(&*code, "internal" | "unknown" | "unavailable" | "data_loss")
}
