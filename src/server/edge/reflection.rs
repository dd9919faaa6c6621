//! gRPC's server reflection. tonic serves it in gRPC only; here it is available in every protocol that streams
//! protobuf. Since it streams in both directions, the request is not read first: its frames, which are the same in
//! all these protocols, are passed on as they arrive.

use std::convert::Infallible;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use connectrpc_axum::{Code, ConnectError, message::build_end_stream_frame};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};

use super::{
    decode, error, frame,
    protocol::{self, Codec, Protocol, Wire},
};
use crate::server::{
    context::RequestContext, error::ApiError, health_reflection::Reflection, limits::Limits,
};

/// Passes a request to tonic. Returns the reply as a Connect stream.
pub(super) async fn call(
    reflection: &Reflection,
    context: &RequestContext,
    head: Parts,
    body: &mut Body,
    wire: Wire,
    limits: &Limits,
) -> Result<Body, ApiError> {
    if wire.codec == Codec::Json || wire.protocol == Protocol::Connect {
        let message = "this procedure does not support the protocol of the content type";
        return Err(error::unsupported(message));
    }
    let stream = reflection.admit(context.client().ip)?;
    let request = to_grpc(head, body, wire.protocol, limits).await?;
    answer(reflection.call(stream, request).await)
}

/// Translates the request to gRPC.
async fn to_grpc(
    mut parts: Parts,
    body: &mut Body,
    protocol: Protocol,
    limits: &Limits,
) -> Result<Request<Body>, ApiError> {
    let headers = &mut parts.headers;
    let most = frame::largest_body(protocol, limits.max_body_bytes);
    let body = match protocol {
        Protocol::GrpcWebText => {
            let text = decode::collect(body, most, limits.max_body_bytes).await?;
            Body::from(frame::from_base64(&text)?)
        }
        _ => Body::new(Limited::new(std::mem::take(body), most)),
    };
    if let Some(encoding) = headers.remove(protocol::CONNECT_CONTENT_ENCODING) {
        headers.insert("grpc-encoding", encoding);
    }
    headers.remove(header::CONTENT_LENGTH);
    let grpc = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, grpc);
    Ok(Request::from_parts(parts, body))
}

/// Translates tonic's reply to a Connect stream, the format of the router of our own handlers.
fn answer(response: Response) -> Result<Body, ApiError> {
    let (parts, body) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Err(error::procedure_not_found("there is no such procedure"));
    }
    if let Some(status) = status(&parts.headers) {
        return Err(error::foreign(
            status.code(),
            status.message().map(str::to_owned),
        ));
    }
    let frames = stream::unfold(Some(body), next_frame);
    Ok(Body::new(StreamBody::new(frames)))
}

async fn next_frame(
    body: Option<Body>,
) -> Option<(Result<Frame<Bytes>, Infallible>, Option<Body>)> {
    let mut body = body?;
    let error = match body.frame().await {
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => return Some((Ok(Frame::data(data)), Some(body))),
            Err(frame) => frame.trailers_ref().and_then(status),
        },
        Some(Err(_)) | None => Some(ConnectError::new(
            Code::Internal,
            "the reply cannot be read",
        )),
    };
    let end = build_end_stream_frame(error.as_ref(), None);
    Some((Ok(Frame::data(end.into())), None))
}

/// The error in these header fields or trailers, if there is one.
fn status(fields: &HeaderMap) -> Option<ConnectError> {
    let status = tonic::Status::from_header_map(fields)?;
    (status.code() != tonic::Code::Ok).then(|| status.into())
}
