//! An HTTP/1.1 connection that sends given bytes and reads responses one after the other.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::client::HttpResponse;

/// No response may take longer than this, however broken the request.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Http1 {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Http1 {
    pub(super) async fn connect(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect(server).await.unwrap())
    }

    /// From another address of this machine, such as 127.0.9.1.
    pub(super) async fn connect_from(address: [u8; 4], server: SocketAddr) -> Self {
        Self::over(stream_from(address, server).await)
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let buffer = Vec::new();
        Self { stream, buffer }
    }

    /// Sends bytes; reading shows whether the peer has closed.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        let written = timeout(REPLY_TIMEOUT * 5, self.stream.write_all(bytes)).await;
        drop(written.expect("the server does not read"));
    }

    /// Closes the sending half.
    pub(super) async fn finish(&mut self) {
        drop(self.stream.shutdown().await);
    }

    /// Sends a request and reads its response; `None`: the server closed.
    pub(super) async fn ask(&mut self, request: &Request<Bytes>) -> Option<HttpResponse> {
        self.write(&bytes_of(request)).await;
        self.read().await
    }

    /// The next response, which must come in time; `None`: the server closed.
    pub(super) async fn read(&mut self) -> Option<HttpResponse> {
        self.read_within(REPLY_TIMEOUT).await
    }

    pub(super) async fn read_within(&mut self, time: Duration) -> Option<HttpResponse> {
        let reply = timeout(time, self.read_reply()).await;
        reply.unwrap_or_else(|_| panic!("no response in {time:?}"))
    }

    /// Whether the server has closed or closes in time.
    pub(super) async fn is_closed_within(&mut self, time: Duration) -> bool {
        let closed = timeout(time, async { while self.fill().await {} });
        closed.await.is_ok()
    }

    /// Waits until the server asks for the body, so that the request is in flight.
    pub(super) async fn await_continue(&mut self) {
        let head = timeout(REPLY_TIMEOUT, self.take_until(b"\r\n\r\n")).await;
        let head = head.expect("no response").expect("closed");
        assert_eq!(head, b"HTTP/1.1 100 Continue");
    }

    async fn read_reply(&mut self) -> Option<HttpResponse> {
        loop {
            let head = self.take_until(b"\r\n\r\n").await?;
            let head = String::from_utf8(head).unwrap();
            let mut lines = head.split("\r\n");
            let status: u16 = lines.next()?.split(' ').nth(1)?.parse().unwrap();
            let headers = fields(lines);
            if status < 200 {
                continue;
            }
            let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
            let mut trailers = HeaderMap::new();
            let body = match (value("transfer-encoding"), value("content-length")) {
                (Some(_), _) => self.take_chunks(&mut trailers).await?,
                (_, Some(length)) => self.take(length.parse().unwrap()).await?,
                _ => Vec::new(),
            };
            let mut response = Response::builder().status(status).body(()).unwrap();
            *response.headers_mut() = headers;
            return Some(HttpResponse {
                head: response.into_parts().0,
                body: body.into(),
                trailers,
            });
        }
    }

    async fn take_chunks(&mut self, trailers: &mut HeaderMap) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.take_until(b"\r\n").await?).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            if size == 0 {
                break;
            }
            body.extend(self.take(size).await?);
            self.take(2).await?;
        }
        loop {
            let line = String::from_utf8(self.take_until(b"\r\n").await?).unwrap();
            if line.is_empty() {
                return Some(body);
            }
            trailers.extend(fields([&*line].into_iter()));
        }
    }

    /// The bytes before `end`.
    async fn take_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self.buffer.windows(end.len()).position(|part| part == end);
            if let Some(at) = found {
                let rest = self.buffer.split_off(at + end.len());
                let mut taken = std::mem::replace(&mut self.buffer, rest);
                taken.truncate(at);
                return Some(taken);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.fill().await {
                return None;
            }
        }
        let rest = self.buffer.split_off(length);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    /// Whether there was more. A reset counts as the end.
    async fn fill(&mut self) -> bool {
        self.buffer.reserve(16 * 1024);
        let count = self.stream.read_buf(&mut self.buffer).await;
        count.is_ok_and(|count| count > 0)
    }
}

pub(super) async fn stream_from(address: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    socket.connect(server).await.unwrap()
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> HeaderMap {
    let field = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value.trim()).unwrap())
    };
    lines.map(field).collect()
}

/// A request in HTTP/1.1's format, with Host and Content-Length added where missing.
pub(super) fn bytes_of(request: &Request<Bytes>) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    let headers = request.headers();
    if !headers.contains_key("host") {
        bytes.extend_from_slice(b"host: h\r\n");
    }
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if !headers.contains_key("content-length") && request.method() != http::Method::GET {
        let length = format!("content-length: {}\r\n", request.body().len());
        bytes.extend_from_slice(length.as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(request.body());
    bytes
}
