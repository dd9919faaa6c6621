//! The formats in which a message can be sent: content type, framing, codec.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};

use crate::client::{Procedure, wrap_frame};

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

const CONNECT: (&str, &str) = ("connect-timeout-ms", "50");
const GRPC: (&str, &str) = ("grpc-timeout", "50m");

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
