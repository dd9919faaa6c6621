//! Clients: each has a connection of its own, kept open, and sends the next call when it has the answer to
//! the last.

use std::{
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::Result;

/// How a call is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Connect, protobuf, HTTP/1.1.
    Proto,
    /// Connect, JSON, HTTP/1.1.
    Json,
    /// gRPC, HTTP/2.
    Grpc,
    /// A form, HTTP/1.1.
    Form,
    /// A GET, HTTP/1.1, for which any answer will do: a refusal is one.
    Get,
}

/// One call.
pub(crate) struct Call {
    pub(crate) path: &'static str,
    pub(crate) bearer: Option<Rc<str>>,
    /// The message, as the wire has it but for gRPC's prefix.
    pub(crate) message: Bytes,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// A client with an open connection.
pub(crate) struct Client {
    wire: Wire,
    authority: String,
    sender: Sender,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, wire: Wire) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        // What ends a connection, the next call tells.
        let sender = if wire == Wire::Grpc {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            Sender::Two(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            Sender::One(sender)
        };
        Ok(Self {
            wire,
            authority: address.to_string(),
            sender,
        })
    }

    /// Sends a call and waits for its answer; anything but success is an error.
    pub(crate) async fn call(&mut self, call: Call) -> Result<Bytes> {
        let request = self.request(call)?;
        let response: Response<Incoming> = match &mut self.sender {
            Sender::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Two(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await?;
        let status = body.trailers().and_then(|fields| fields.get("grpc-status"));
        let well = match self.wire {
            Wire::Grpc => status.is_some_and(|status| status == "0"),
            Wire::Proto | Wire::Json | Wire::Form => parts.status.is_success(),
            Wire::Get => !parts.status.is_server_error(),
        };
        let bytes = body.to_bytes();
        if well {
            Ok(bytes)
        } else {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Err(format!("{} {:?} {text}", parts.status, parts.headers).into())
        }
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>> {
        let (content_type, body) = match self.wire {
            Wire::Proto => ("application/proto", call.message),
            Wire::Json => ("application/json", call.message),
            Wire::Form => ("application/x-www-form-urlencoded", call.message),
            Wire::Get => ("", Bytes::new()),
            Wire::Grpc => {
                let mut framed = BytesMut::with_capacity(5 + call.message.len());
                framed.put_u8(0);
                framed.put_u32(u32::try_from(call.message.len())?);
                framed.put_slice(&call.message);
                ("application/grpc", framed.freeze())
            }
        };
        let mut request = match self.wire {
            Wire::Get => Request::get(call.path),
            _ => Request::post(call.path).header(header::CONTENT_TYPE, content_type),
        };
        request = match self.wire {
            Wire::Grpc => request
                .uri(format!("http://{}{}", self.authority, call.path))
                .header("te", "trailers"),
            _ => request.header(header::HOST, &self.authority),
        };
        if let Some(bearer) = call.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        Ok(request.body(Full::new(body))?)
    }
}

/// Calls until `end`; how long each took.
pub(crate) async fn call_until(
    client: &mut Client,
    end: Instant,
    mut next: impl FnMut() -> Call,
) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    loop {
        let begin = Instant::now();
        if begin >= end {
            return Ok(took);
        }
        client.call(next()).await?;
        took.push(begin.elapsed());
    }
}
