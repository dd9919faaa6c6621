//! A gRPC client on one HTTP/2 connection.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::TcpStream, sync::oneshot};

use super::TestServer;
use crate::{proto::hallpass::v1::GetTokenRequest, server::edge::frame};

pub(super) struct Http2(SendRequest<Body>);

/// Header fields and trailers together.
pub(super) struct Reply {
    pub(super) headers: HeaderMap,
}

impl Reply {
    pub(super) fn status(&self) -> &str {
        self.headers["grpc-status"].to_str().unwrap()
    }
}

impl Http2 {
    pub(super) async fn connect(server: &TestServer) -> Self {
        let socket = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
        let (sender, connection) = handshake(TokioExecutor::new(), socket).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(super) async fn grpc(
        &mut self,
        path: &str,
        token_id: &str,
        headers: &[(&str, &str)],
    ) -> Reply {
        let message = GetTokenRequest {
            token_id: token_id.into(),
        }
        .encode_to_vec();
        let mut request = Request::post(format!("http://x{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(frame::wrap(0, &message))).unwrap();
        self.0.ready().await.unwrap();
        let (parts, body) = self.0.send_request(request).await.unwrap().into_parts();
        let mut headers = parts.headers;
        let body = body.collect().await.unwrap();
        headers.extend(body.trailers().cloned().unwrap_or_default());
        Reply { headers }
    }

    /// Sends a message on a stream that stays open until the first part of the reply has arrived. Returns the whole
    /// reply.
    pub(super) async fn converse(
        &mut self,
        path: &str,
        content_type: &str,
        message: &[u8],
    ) -> Bytes {
        let message = frame::wrap(0, message);
        let (answered, until_answered) = oneshot::channel::<()>();
        let end = stream::once(async move {
            until_answered.await.unwrap();
            Ok::<_, Infallible>(Bytes::new())
        });
        let body = Body::from_stream(stream::iter([Ok(message)]).chain(end));
        let request = Request::post(format!("http://x{path}"))
            .header("content-type", content_type)
            .header("te", "trailers");
        self.0.ready().await.unwrap();
        let response = self
            .0
            .send_request(request.body(body).unwrap())
            .await
            .unwrap();
        assert_eq!(response.headers()["content-type"], content_type);
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        answered.send(()).unwrap();
        let rest = body.collect().await.unwrap().to_bytes();
        [first, rest].concat().into()
    }
}
