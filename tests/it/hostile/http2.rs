//! One HTTP/2 connection with the `h2` crate, for sequential or concurrent requests.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{
    SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use tokio::{net::TcpStream, time::timeout};

use super::http1::REPLY_TIMEOUT;
use crate::client::HttpResponse;

#[derive(Clone)]
pub(super) struct Http2 {
    server: SocketAddr,
    sender: SendRequest<Bytes>,
}

impl Http2 {
    pub(super) async fn connect(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect(server).await.unwrap(), server).await
    }

    pub(super) async fn over(stream: TcpStream, server: SocketAddr) -> Self {
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self { server, sender }
    }

    /// Sends a request and reads its response, which must come in time.
    pub(super) async fn ask(
        &mut self,
        request: &Request<Bytes>,
    ) -> Result<HttpResponse, h2::Error> {
        let reply = async {
            let response = self.begin(request).await?;
            read(response).await
        };
        timeout(REPLY_TIMEOUT, reply)
            .await
            .expect("a response in two seconds")
    }

    /// Sends a request.
    pub(super) async fn begin(
        &mut self,
        request: &Request<Bytes>,
    ) -> Result<ResponseFuture, h2::Error> {
        let body = request.body().clone();
        let (response, mut stream) = self.send_head(request, body.is_empty()).await?;
        if !body.is_empty() {
            stream.send_data(body, true)?;
        }
        Ok(response)
    }

    /// Sends a request whose body is still to come.
    pub(super) async fn open(
        &mut self,
        request: &Request<Bytes>,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.send_head(request, false).await
    }

    async fn send_head(
        &mut self,
        request: &Request<Bytes>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut head = Request::builder()
            .method(request.method())
            .uri(format!("http://{}{}", self.server, request.uri()))
            .body(())
            .unwrap();
        *head.headers_mut() = request.headers().clone();
        let mut sender = self.sender.clone().ready().await?;
        sender.send_request(head, ends)
    }
}

/// The complete response.
pub(super) async fn read(response: ResponseFuture) -> Result<HttpResponse, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut all = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        all.extend_from_slice(&part);
    }
    let trailers = body.trailers().await?.unwrap_or_else(HeaderMap::new);
    let body = all.into();
    Ok(HttpResponse {
        head,
        body,
        trailers,
    })
}
