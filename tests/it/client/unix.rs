//! The same calls over an existing stream: a Unix socket or a pipe.

use std::path::PathBuf;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
};

use super::{Call, HttpResponse, Procedure, Protocol, Reply, Wire};

/// A server behind a Unix socket. Each request uses a new connection.
#[derive(Clone, Debug)]
pub(crate) struct UnixClient(pub(crate) PathBuf);

impl UnixClient {
    /// Makes a call and reads the answer as its wire has it.
    pub(crate) async fn call(&self, wire: Wire, call: Call<'_>) -> Reply {
        let procedure = Procedure::find(call.procedure);
        let request = wire.request(&procedure, &call.message);
        let http2 = wire.protocol == Protocol::Grpc;
        let reply = self.send(request, call.headers, http2).await;
        wire.answer(&procedure, reply)
    }

    /// Sends any request over HTTP/1.1, or HTTP/2 with prior knowledge.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
        headers: HeaderMap,
        http2: bool,
    ) -> HttpResponse {
        let stream = UnixStream::connect(&self.0).await.unwrap();
        send(stream, request, headers, http2).await
    }
}

/// Sends the one request of a connection.
pub(crate) async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Bytes>,
    headers: HeaderMap,
    http2: bool,
) -> HttpResponse {
    let (mut parts, body) = request.into_parts();
    parts.headers.extend(headers);
    let stream = TokioIo::new(stream);
    if http2 {
        parts.uri = format!("http://localhost{}", parts.uri).parse().unwrap();
        let request = Request::from_parts(parts, Full::new(body));
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        HttpResponse::read(sender.send_request(request).await.unwrap()).await
    } else {
        parts.headers.insert("host", "localhost".parse().unwrap());
        let request = Request::from_parts(parts, Full::new(body));
        let (mut sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        HttpResponse::read(sender.send_request(request).await.unwrap()).await
    }
}
