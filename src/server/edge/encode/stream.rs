//! Replies of server streams. The router's reply is a Connect stream in protobuf: its messages are framed again,
//! and its end is written in the caller's protocol.

use std::{collections::HashMap, convert::Infallible, panic::AssertUnwindSafe};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use connectrpc_axum::{ConnectError, message::build_end_stream_frame};
use futures_util::{FutureExt, stream};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde::Deserialize;
use tokio::time::Instant;

use super::{Protocol, Writer, append, grpc};
use crate::server::edge::{
    call::{ErrorJson, metadata},
    error, frame,
};

/// Waits for the first message: an error before it is an ordinary error for client, log and metrics.
pub(super) async fn success(writer: &Writer, body: Body) -> Result<Response, ConnectError> {
    let mut source = Source {
        body,
        buffer: Bytes::new(),
        deadline: writer.call.as_ref().map(super::Call::deadline),
        first: None,
    };
    let mut first = source.next().await;
    if let Next::End(end) = &mut first
        && let Some(error) = end.error.take()
    {
        return Err(error.set_meta_from_headers(&end.trailers));
    }
    source.first = Some(first);
    // The handler has run: what it adds from now on can only be a trailer.
    let mut response = writer.response(Body::empty());
    let headers = response.headers_mut();
    let gzip = HeaderValue::from_static("gzip");
    match writer.wire.protocol {
        Protocol::ConnectStream if writer.wire.accepts_gzip => {
            headers.insert("connect-content-encoding", gzip);
        }
        Protocol::ConnectStream => {}
        _ => grpc::add_encodings(headers, writer.wire.accepts_gzip),
    }
    let state = Some((writer.clone(), source));
    let frames = stream::unfold(state, |state| async {
        let (writer, mut source) = state?;
        let written = match source.next().await {
            Next::Message(message) => writer.message(message),
            Next::End(end) => Err(end),
        };
        Some(match written {
            Ok(frame) => (Ok::<_, Infallible>(frame), Some((writer, source))),
            Err(end) => (Ok(writer.end(*end)), None),
        })
    });
    *response.body_mut() = Body::new(StreamBody::new(frames));
    Ok(response)
}

/// A Connect stream that consists of its end only.
pub(super) fn failure(writer: &Writer, error: &ConnectError) -> Response {
    let trailers = writer.reply.take_trailers();
    writer.response(Body::from(build_end_stream_frame(
        Some(error),
        Some(&trailers),
    )))
}

impl Writer {
    fn message(&self, message: Bytes) -> Result<Frame<Bytes>, Box<End>> {
        let written = self
            .transcode(message)
            .and_then(|message| self.compress(message));
        let (message, compressed) = written.map_err(|error| Box::new(End::from(error)))?;
        let flags = if compressed { frame::COMPRESSED } else { 0 };
        Ok(Frame::data(grpc::text(
            self.wire.protocol,
            frame::wrap(flags, &message),
        )))
    }

    fn end(&self, end: End) -> Frame<Bytes> {
        let mut trailers = end.trailers;
        let error = end.error.map(|error| self.for_client(error));
        append(&mut trailers, self.reply.take_trailers());
        match self.wire.protocol {
            Protocol::ConnectStream | Protocol::Connect | Protocol::ConnectGet => {
                Frame::data(build_end_stream_frame(error.as_ref(), Some(&trailers)).into())
            }
            Protocol::Grpc => Frame::trailers(grpc::status(error.as_ref(), trailers)),
            protocol @ (Protocol::GrpcWeb | Protocol::GrpcWebText) => {
                let trailers = grpc::status(error.as_ref(), trailers);
                Frame::data(grpc::text(protocol, grpc::web_trailers(&trailers)))
            }
        }
    }
}

/// The stream of the router.
struct Source {
    body: Body,
    buffer: Bytes,
    deadline: Option<Instant>,
    /// Read ahead.
    first: Option<Next>,
}

enum Next {
    Message(Bytes),
    End(Box<End>),
}

#[derive(Default)]
struct End {
    error: Option<ConnectError>,
    trailers: HeaderMap,
}

impl Next {
    fn failed(error: ConnectError) -> Self {
        Self::End(Box::new(error.into()))
    }
}

impl From<ConnectError> for End {
    fn from(error: ConnectError) -> Self {
        Self {
            error: Some(error),
            ..Self::default()
        }
    }
}

/// Connect's end-of-stream message.
#[derive(Deserialize)]
struct EndStreamJson {
    error: Option<ErrorJson>,
    #[serde(default)]
    metadata: HashMap<String, Vec<String>>,
}

impl Source {
    async fn next(&mut self) -> Next {
        if let Some(first) = self.first.take() {
            return first;
        }
        let next = AssertUnwindSafe(self.in_time()).catch_unwind().await;
        next.unwrap_or_else(|_| Next::failed(error::internal("something is wrong in the server")))
    }

    async fn in_time(&mut self) -> Next {
        match self.deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, self.read())
                .await
                .unwrap_or_else(|_| Next::failed(error::deadline_exceeded())),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Next {
        loop {
            if let Some((flags, message, rest)) = frame::split(&self.buffer) {
                self.buffer = rest;
                return if flags & frame::END_OF_STREAM == 0 {
                    Next::Message(message)
                } else {
                    end(&message)
                };
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    let more = frame.into_data().unwrap_or_default();
                    // The router sends one message per frame; only partial ones need to be joined.
                    self.buffer = if self.buffer.is_empty() {
                        more
                    } else {
                        [&self.buffer[..], &more].concat().into()
                    };
                }
                Some(Err(_)) | None => {
                    return Next::failed(error::internal("the reply cannot be read"));
                }
            }
        }
    }
}

fn end(written: &[u8]) -> Next {
    match serde_json::from_slice::<EndStreamJson>(written) {
        Ok(end) => {
            let error = end.error.map(|error| error::complete(error.into_error()));
            let trailers = metadata(&end.metadata);
            Next::End(Box::new(End { error, trailers }))
        }
        Err(_) => Next::failed(error::internal("the reply cannot be read")),
    }
}
