//! The requests that are measured.

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, Version, header, request::Builder};
use http_body_util::Full;
use prost::{Message, Name};
use prost_reflect::DynamicMessage;

use crate::{
    proto,
    server::endpoints::{FORWARD_AUTH, INTROSPECT},
};

/// How a call of a procedure is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Connect over HTTP/1.1 with JSON.
    Json,
    /// Connect over HTTP/1.1 with protobuf.
    Proto,
    /// gRPC.
    Grpc,
}

/// Calls the procedure at `path`; without a bearer token where `bearer` is empty.
pub fn procedure<M: Message + Name>(
    wire: Wire,
    path: &str,
    bearer: &str,
    message: &M,
) -> Request<Full<Bytes>> {
    let (content_type, body) = match wire {
        Wire::Json => ("application/json", json(message)),
        Wire::Proto => ("application/proto", message.encode_to_vec().into()),
        Wire::Grpc => ("application/grpc", grpc(message)),
    };
    let mut request = Request::post(path).header(header::CONTENT_TYPE, content_type);
    if wire == Wire::Grpc {
        request = request
            .version(Version::HTTP_2)
            .uri(format!("http://bench{path}"))
            .header(header::TE, "trailers");
    }
    whole(request, bearer, body)
}

/// Asks by token introspection about `token`.
pub fn introspection(bearer: &str, token: &str) -> Request<Full<Bytes>> {
    let request = Request::post(INTROSPECT.path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    whole(request, bearer, format!("token={token}").into())
}

/// Asks by forward authentication about `bearer`.
pub fn forward_auth(bearer: &str) -> Request<Full<Bytes>> {
    whole(Request::get(FORWARD_AUTH.path), bearer, Bytes::new())
}

/// Posts nothing to `path`.
pub fn post(path: &str) -> Request<Full<Bytes>> {
    whole(Request::post(path), "", Bytes::new())
}

fn whole(mut request: Builder, bearer: &str, body: Bytes) -> Request<Full<Bytes>> {
    if !bearer.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
    }
    let request = request.header(header::HOST, "bench").body(Full::new(body));
    request.expect("paths and tokens are valid in a request")
}

fn json<M: Message + Name>(message: &M) -> Bytes {
    let descriptor = proto::pool().get_message_by_name(&M::full_name());
    let mut dynamic = DynamicMessage::new(descriptor.expect("all messages are in the pool"));
    let encoded = dynamic.transcode_from(message).ok();
    let json = encoded.and_then(|()| serde_json::to_vec(&dynamic).ok());
    json.expect("a message of the pool is JSON").into()
}

/// With the prefix that says that it is not compressed, and how long it is.
fn grpc(message: &impl Message) -> Bytes {
    let mut body = BytesMut::with_capacity(5 + message.encoded_len());
    body.put_u8(0);
    body.put_u32(u32::try_from(message.encoded_len()).expect("requests are short"));
    message
        .encode(&mut body)
        .expect("a buffer that grows has room");
    body.freeze()
}
