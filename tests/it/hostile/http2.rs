//! HTTP/2 connections: with the `h2` crate, for sequential or concurrent requests, and raw, for frames that no client
//! would send.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::{
    SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::http1::REPLY_TIMEOUT;
use crate::client::HttpResponse;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Header fields in HPACK's simplest encoding: literals without indexing (RFC 7541, 6.2.2).
pub(super) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    block
}

fn string(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 0x7f {
        block.push(u8::try_from(length).unwrap());
    } else {
        block.push(0x7f);
        length -= 0x7f;
        while length >= 0x80 {
            block.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        block.push(u8::try_from(length).unwrap());
    }
    block.extend(text.as_bytes());
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The status, if these are the first header fields of a connection.
    pub(super) fn status(&self) -> u16 {
        match self.payload[..] {
            [0x88, ..] => 200,
            [0x89, ..] => 204,
            [0x8b, ..] => 304,
            [0x8c, ..] => 400,
            [0x8d, ..] => 404,
            [0x8e, ..] => 500,
            // A literal with the name :status and three digits, in Huffman's code or plain.
            [0x08..=0x0e | 0x48..=0x4e, length, a, b, c, ..] if length & 0x80 == 0 => {
                let digits = [a, b, c].map(|digit| u16::from(digit - b'0'));
                digits[0] * 100 + digits[1] * 10 + digits[2]
            }
            [0x08..=0x0e | 0x48..=0x4e, length, ref rest @ ..] => {
                huffman_digits(&rest[..usize::from(length & 0x7f)])
            }
            _ => panic!("no status: {:?}", self.payload),
        }
    }
}

/// 0 to 2 have the five bits 00000 to 00010, 3 to 9 the six bits 011001 to 011111 (RFC 7541, B).
fn huffman_digits(bytes: &[u8]) -> u16 {
    let bits = bytes
        .iter()
        .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let mut left = bytes.len() * 8;
    let mut number = 0;
    for _ in 0..3 {
        let five = bits >> (left - 5) & 0x1f;
        let digit = if five <= 2 {
            left -= 5;
            five
        } else {
            left -= 6;
            (bits >> left & 0x3f) - 0b01_1001 + 3
        };
        number = number * 10 + u16::try_from(digit).unwrap();
    }
    number
}

pub(super) struct RawHttp2(TcpStream);

impl RawHttp2 {
    /// Connects and sends the preface and empty settings.
    pub(super) async fn connect(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect(server).await.unwrap()).await
    }

    pub(super) async fn over(stream: TcpStream) -> Self {
        let mut this = Self(stream);
        this.0.set_nodelay(true).unwrap();
        this.write(PREFACE).await;
        this.write(&frame(SETTINGS, 0, 0, &[])).await;
        this
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) {
        drop(self.0.write_all(bytes).await);
    }

    /// The next frame; `None`: the server closed.
    pub(super) async fn read(&mut self, within: Duration) -> Option<Frame> {
        let read = timeout(within, async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
            let mut payload = vec![0; usize::try_from(number(&head[..3])).unwrap()];
            self.0.read_exact(&mut payload).await.ok()?;
            Some(Frame {
                kind: head[3],
                flags: head[4],
                stream: number(&head[5..]) & 0x7fff_ffff,
                payload,
            })
        });
        read.await
            .unwrap_or_else(|_| panic!("no frame in {within:?}"))
    }
}
