//! gRPC's server reflection. tonic serves it in gRPC only; here it is available in every protocol that streams
//! protobuf. Since it streams in both directions, the request is not read first: its frames, which are the same in
//! all these protocols, are passed on as they arrive.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use connectrpc_axum::{ConnectError, message::build_end_stream_frame};
use futures_util::{future::BoxFuture, stream};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use tower::{Service, ServiceExt};

use super::{
    classified::{CallTarget, not_classified},
    error, frame, names, read,
    wire::{Codec, Protocol},
};
use crate::server::limits::Limits;

/// Passes requests to tonic.
#[derive(Clone)]
pub(super) struct Reflection {
    pub(super) services: Router,
    pub(super) limits: Arc<Limits>,
}

impl Service<Request<Body>> for Reflection {
    type Response = Response;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { services, limits } = self.clone();
        Box::pin(async move {
            let target: &CallTarget = request.extensions().get().ok_or_else(not_classified)?;
            let (protocol, codec) = (target.wire.protocol, target.wire.codec);
            if codec == Codec::Json || protocol == Protocol::Connect {
                let message = "this procedure does not support the protocol of the content type";
                return Err(error::unsupported(message));
            }
            let request = to_grpc(request, protocol, &limits).await?;
            let Ok(response) = services.oneshot(request).await;
            answer(response)
        })
    }
}

/// Translates the request to gRPC.
async fn to_grpc(
    request: Request<Body>,
    protocol: Protocol,
    limits: &Limits,
) -> Result<Request<Body>, ConnectError> {
    let (mut parts, body) = request.into_parts();
    let headers = &mut parts.headers;
    let most = frame::largest_body(protocol, limits.max_body_bytes);
    let body = match protocol {
        Protocol::GrpcWebText => {
            let text = read::collect(body, most, limits.max_body_bytes).await?;
            Body::from(frame::from_base64(&text)?)
        }
        _ => Body::new(Limited::new(body, most)),
    };
    if let Some(encoding) = headers.remove(names::CONNECT_CONTENT_ENCODING) {
        headers.insert("grpc-encoding", encoding);
    }
    headers.remove(header::CONTENT_LENGTH);
    let grpc = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, grpc);
    Ok(Request::from_parts(parts, body))
}

/// Translates tonic's reply to a Connect stream, the format of the router of our own handlers.
fn answer(response: Response) -> Result<Response, ConnectError> {
    let (parts, body) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Err(error::no_such_procedure());
    }
    if let Some(error) = status(&parts.headers) {
        return Err(error);
    }
    let body = StreamBody::new(stream::unfold(Some(body), next_frame));
    let mut response = Response::new(Body::new(body));
    let content_type = HeaderValue::from_static("application/connect+proto");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Ok(response)
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
        Some(Err(_)) | None => Some(error::internal("the reply cannot be read")),
    };
    let end = build_end_stream_frame(error.as_ref(), None);
    Some((Ok(Frame::data(end.into())), None))
}

/// The error in these header fields or trailers, if there is one.
fn status(fields: &HeaderMap) -> Option<ConnectError> {
    let status = tonic::Status::from_header_map(fields)?;
    (status.code() != tonic::Code::Ok).then(|| error::complete(status.into()))
}
