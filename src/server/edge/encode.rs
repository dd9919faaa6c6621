//! The outermost step of a call: writes the reply or the error in the caller's protocol. It is the only step that
//! cannot fail.

mod connect;
mod grpc;
mod stream;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use connectrpc_axum::ConnectError;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use tower::{Service, ServiceExt};

use super::{
    body_drain::BodyDrain,
    call_outcome::CallOutcome,
    classified::{Call, CallTarget, RefusedCall},
    error, gzip, json,
    reply_metadata::ReplyMetadata,
    wire::{Codec, Protocol, Wire},
};
use crate::server::{endpoints::Endpoint, limits::Limits};

#[derive(Clone)]
pub(super) struct Encode<S> {
    pub(super) limits: Arc<Limits>,
    pub(super) with_reasons: bool,
    pub(super) inner: S,
}

/// All that it takes to write a reply.
#[derive(Clone)]
struct Writer {
    wire: Wire,
    call: Option<Call>,
    endpoint: Option<&'static Endpoint>,
    reply: ReplyMetadata,
    limits: Arc<Limits>,
    with_reasons: bool,
}

impl<S> Service<Request<Body>> for Encode<S>
where
    S: Service<Request<Body>, Response = Response, Error = ConnectError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.inner.clone();
        let (mut parts, body) = request.into_parts();
        let (unread, body) = BodyDrain::new(body, &parts.headers);
        let refused = parts.extensions.remove::<RefusedCall>();
        let target: CallTarget =
            (parts.extensions.get().cloned()).expect("classify sets the target of each call");
        let writer = Writer {
            wire: target.wire,
            endpoint: target.endpoint,
            call: parts.extensions.get().cloned(),
            reply: ReplyMetadata::default(),
            limits: Arc::clone(&self.limits),
            with_reasons: self.with_reasons,
        };
        parts.extensions.insert(writer.reply.clone());
        let request = Request::from_parts(parts, body);
        Box::pin(async move {
            let (answer, status) = match refused {
                None => (inner.oneshot(request).await, None),
                Some(refused) => (Err(refused.error), refused.status),
            };
            let answer = match answer {
                Ok(response) => writer.success(response).await,
                Err(error) => Err(error),
            };
            let response = match answer {
                Ok(response) => writer.finish(response, None),
                Err(error) => {
                    unread.drain(&writer.limits).await;
                    writer.failure(error, status)
                }
            };
            Ok(response)
        })
    }
}

impl Writer {
    async fn success(&self, response: Response) -> Result<Response, ConnectError> {
        let content_type = response.headers().get(header::CONTENT_TYPE);
        if content_type.is_some_and(|t| t == "application/connect+proto") {
            return stream::success(self, response.into_body()).await;
        }
        let unreadable = |_| error::internal("the reply cannot be read");
        let message = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        let message = self.transcode(message.map_err(unreadable)?)?;
        let (message, compressed) = self.compress(message)?;
        Ok(match self.wire.protocol {
            Protocol::Connect | Protocol::ConnectGet | Protocol::ConnectStream => {
                connect::success(self, message, compressed)
            }
            Protocol::Grpc | Protocol::GrpcWeb | Protocol::GrpcWebText => {
                grpc::success(self, &message, compressed)
            }
        })
    }

    fn failure(&self, error: ConnectError, status: Option<http::StatusCode>) -> Response {
        error::note_reason(&error);
        let error = self.for_client(error);
        let response = match self.wire.protocol {
            Protocol::Connect | Protocol::ConnectGet => connect::failure(self, &error, status),
            Protocol::ConnectStream => stream::failure(self, &error),
            Protocol::Grpc | Protocol::GrpcWeb | Protocol::GrpcWebText => {
                grpc::failure(self, &error)
            }
        };
        self.finish(response, Some(error.code()))
    }

    /// The error as it is sent to the client.
    fn for_client(&self, error: ConnectError) -> ConnectError {
        if self.with_reasons {
            error
        } else {
            error::without_reason(&error)
        }
    }

    fn finish(&self, mut response: Response, code: Option<connectrpc_axum::Code>) -> Response {
        let no_store = HeaderValue::from_static("no-store");
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, no_store);
        let protocol = Some(self.wire.protocol);
        CallOutcome {
            endpoint: self.endpoint,
            protocol,
            code,
        }
        .note(response.extensions_mut());
        response
    }

    /// A reply with this body, the handler's header fields and the protocol's content type.
    fn response(&self, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.headers_mut() = self.reply.take_headers();
        let content_type = HeaderValue::from_static(self.wire.content_type);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        response
    }

    fn transcode(&self, message: Bytes) -> Result<Bytes, ConnectError> {
        match (&self.call, self.wire.codec) {
            (Some(call), Codec::Json) => json::to_json(call.method.output(), &message),
            _ => Ok(message),
        }
    }

    fn compress(&self, message: Bytes) -> Result<(Bytes, bool), ConnectError> {
        if self.wire.accepts_gzip && message.len() >= self.limits.compress_min_bytes {
            Ok((gzip::compress(&message)?, true))
        } else {
            Ok((message, false))
        }
    }
}

/// Appends header fields to those that exist.
fn append(headers: &mut HeaderMap, more: HeaderMap) {
    let mut last: Option<HeaderName> = None;
    for (name, value) in more {
        // `None` means the same name as before.
        last = name.or(last);
        if let Some(name) = &last {
            headers.append(name, value);
        }
    }
}
