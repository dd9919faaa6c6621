//! Calls on one connection, and how their errors become failures of the command.

use std::{fmt::Display, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use prost::{DecodeError, Message};
use serde::Deserialize;
use tokio::time::timeout;
use tokio_rustls::rustls;
use tonic_types::pb::ErrorInfo;

use super::{ServerStream, Unary, connection::Stream, tls};
use crate::{
    cli::{exit_code::ExitCode, failure::Failure},
    domain::secret::Secret,
    proto::hallpass::v1::Reason,
};

/// Longer than a server's own deadline for a call, so that its error arrives first.
const REPLY_TIMEOUT: Duration = Duration::from_mins(1);
/// A check of a large database takes long before its first message.
const STREAM_TIMEOUT: Duration = Duration::from_hours(24);
/// Far above any reply of Hallpass: keeps another server from filling the memory.
const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;
/// How much of a response outside the protocol an error quotes.
const QUOTED_BYTES: usize = 80;

/// A flag of a frame (connectrpc.com/docs/protocol, "Streaming response").
const END_OF_STREAM: u8 = 2;
const FRAME_HEAD_BYTES: usize = 5;

/// A connection to the services.
pub(in crate::cli) struct Session {
    sender: SendRequest<Full<Bytes>>,
    target: String,
    /// Precedes each procedure's path.
    path: String,
    headers: HeaderMap,
    is_embedded: bool,
}

impl Session {
    pub(super) async fn start(
        stream: Box<dyn Stream>,
        target: String,
        authority_and_path: &str,
        bearer: Option<&Secret>,
        user_agent: &'static str,
        is_embedded: bool,
    ) -> Result<Self, Failure> {
        let lost = |error: hyper::Error| lost(&target, &error);
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // Ends when the sender is dropped.
        tokio::spawn(async {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection was lost");
            }
        });
        let mut headers = HeaderMap::new();
        let (authority, path) = authority_and_path.split_at(
            authority_and_path
                .find('/')
                .unwrap_or(authority_and_path.len()),
        );
        let authority = HeaderValue::try_from(authority);
        let authority =
            authority.map_err(|_| Failure::usage("--server: the host name is invalid"))?;
        headers.insert(header::HOST, authority);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(user_agent));
        let version = HeaderName::from_static("connect-protocol-version");
        headers.insert(version, HeaderValue::from_static("1"));
        if let Some(bearer) = bearer {
            let value = HeaderValue::try_from(format!("Bearer {}", bearer.expose()));
            let mut value = value.map_err(|_| Failure::usage("the token is malformed"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(Self {
            sender,
            target,
            path: path.to_owned(),
            headers,
            is_embedded,
        })
    }

    /// Whether this process serves the calls itself because no server runs on the database.
    pub(in crate::cli) const fn is_embedded(&self) -> bool {
        self.is_embedded
    }

    /// Calls a unary procedure.
    pub(in crate::cli) async fn call<C: Unary>(
        &mut self,
        request: &C,
    ) -> Result<C::Reply, Failure> {
        let body = request.encode_to_vec().into();
        let response = self
            .send(C::PROCEDURE, "application/proto", body, REPLY_TIMEOUT)
            .await?;
        let is_reply = response.status() == 200 && is_of(&response, "application/proto");
        let (parts, body) = response.into_parts();
        let read = timeout(REPLY_TIMEOUT, Limited::new(body, MAX_REPLY_BYTES).collect()).await;
        let body = match read {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return Err(self.lost(&error)),
            Err(_) => return Err(self.lost(&"the response does not end")),
        };
        if !is_reply {
            return Err(self.refusal(&parts, &body));
        }
        C::Reply::decode(body).map_err(|error| self.unreadable(&error))
    }

    /// Calls a server-streaming procedure and passes each message to `take`.
    pub(in crate::cli) async fn stream<C: ServerStream>(
        &mut self,
        request: &C,
        take: impl FnMut(C::Reply) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.stream_within(STREAM_TIMEOUT, request, take).await
    }

    /// The same for a stream that is lost if nothing comes for so long.
    pub(in crate::cli) async fn stream_within<C: ServerStream>(
        &mut self,
        silence: Duration,
        request: &C,
        mut take: impl FnMut(C::Reply) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let message = request.encode_to_vec();
        let mut body = vec![0];
        let length = u32::try_from(message.len()).expect("requests are small");
        body.extend(length.to_be_bytes());
        body.extend(message);
        let content_type = "application/connect+proto";
        let response = self
            .send(C::PROCEDURE, content_type, body.into(), silence)
            .await?;
        let is_reply = response.status() == 200 && is_of(&response, content_type);
        let (parts, mut body) = response.into_parts();
        if !is_reply {
            let body = Limited::new(body, MAX_REPLY_BYTES).collect().await;
            let body = body.map_err(|error| self.lost(&error))?.to_bytes();
            return Err(self.refusal(&parts, &body));
        }
        let mut buffer = BytesMut::new();
        loop {
            while let Some((flags, message)) = next_frame(&mut buffer) {
                if flags & END_OF_STREAM != 0 {
                    return self.end_of_stream(&message);
                }
                take(C::Reply::decode(message).map_err(|error| self.unreadable(&error))?)?;
            }
            if buffer.len() > MAX_REPLY_BYTES {
                return Err(self.lost(&"a message is too large"));
            }
            let Ok(frame) = timeout(silence, body.frame()).await else {
                return Err(self.lost(&"nothing more comes"));
            };
            match frame {
                Some(Ok(frame)) => buffer.extend(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(self.lost(&error)),
                None => return Err(self.lost(&"the stream ended early")),
            }
        }
    }

    async fn send(
        &mut self,
        procedure: &str,
        content_type: &'static str,
        body: Bytes,
        reply_timeout: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        let path = format!("{}/hallpass.v1.{procedure}", self.path);
        *request.uri_mut() = path.parse().expect("the names of procedures fit a path");
        *request.headers_mut() = self.headers.clone();
        let content_type = HeaderValue::from_static(content_type);
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        match timeout(reply_timeout, self.sender.send_request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(match tls::cause(&error) {
                Some(refusal) if tls::is_refusal(refusal) => self.unreachable(refusal),
                _ => self.lost(&error),
            }),
            Err(_) => Err(self.lost(&"it does not respond")),
        }
    }

    /// With TLS 1.3, the server checks the client's certificate when the client's handshake is complete.
    fn unreachable(&self, refusal: &rustls::Error) -> Failure {
        let problem = format!("cannot reach {}: {refusal}", self.target);
        Failure::new(ExitCode::Unreachable, problem).with_lines(tls::advice(refusal))
    }

    fn end_of_stream(&self, message: &[u8]) -> Result<(), Failure> {
        let end: End = serde_json::from_slice(message).map_err(|error| self.lost(&error))?;
        match end.error {
            None => Ok(()),
            Some(error) => Err(error.into_failure()),
        }
    }

    fn refusal(&self, parts: &http::response::Parts, body: &[u8]) -> Failure {
        if let Ok(refusal) = serde_json::from_slice::<Refusal>(body) {
            return refusal.into_failure();
        }
        if let Some(location) = parts.headers.get(header::LOCATION)
            && parts.status.is_redirection()
        {
            let to = String::from_utf8_lossy(location.as_bytes());
            let (target, to) = (&self.target, to.escape_debug());
            return Failure::new(
                ExitCode::Unreachable,
                format!(
                    "{target} redirects to {to}, and redirects are not followed: give the server's own address"
                ),
            );
        }
        let text = String::from_utf8_lossy(&body[..body.len().min(QUOTED_BYTES)]);
        let text = text.escape_debug();
        let (target, status) = (&self.target, parts.status);
        Failure::new(
            ExitCode::Unreachable,
            format!(
                "{target} responds {status}, and not like Hallpass: is the address right? The response: {text}"
            ),
        )
    }

    /// The reply lacks `field`, which every server sends.
    pub(in crate::cli) fn incomplete(&self, field: &str) -> Failure {
        let target = &self.target;
        Failure::failed(format!("the reply of {target} lacks its {field}"))
    }

    fn unreadable(&self, error: &DecodeError) -> Failure {
        let target = &self.target;
        Failure::failed(format!("the reply of {target} cannot be read: {error}"))
    }

    fn lost(&self, error: &dyn Display) -> Failure {
        lost(&self.target, error)
    }
}

fn lost(target: &str, error: &dyn Display) -> Failure {
    let problem = format!(
        "the connection to {target} was lost before the reply, so it is not known whether the call took effect: {error}"
    );
    Failure::new(ExitCode::Unreachable, problem)
}

fn is_of<B>(response: &Response<B>, content_type: &str) -> bool {
    let found = response.headers().get(header::CONTENT_TYPE);
    found.is_some_and(|found| found.as_bytes() == content_type.as_bytes())
}

fn next_frame(buffer: &mut BytesMut) -> Option<(u8, Bytes)> {
    let mut head = buffer.get(..FRAME_HEAD_BYTES)?;
    let flags = head.get_u8();
    let length = usize::try_from(head.get_u32()).ok()?;
    if buffer.len() - FRAME_HEAD_BYTES < length {
        return None;
    }
    buffer.advance(FRAME_HEAD_BYTES);
    Some((flags, buffer.split_to(length).freeze()))
}

#[derive(Deserialize)]
struct End {
    error: Option<Refusal>,
}

/// An error as Connect writes it.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Vec<Detail>,
}

impl Refusal {
    fn into_failure(self) -> Failure {
        let message = if self.message.is_empty() {
            self.code.clone()
        } else {
            self.message
        };
        let failure = Failure::refused(self.code, message);
        let mut reasons = self.details.iter().filter_map(Detail::reason);
        match reasons.find_map(advice) {
            Some(advice) => failure.with_line(advice.to_owned()),
            None => failure,
        }
    }
}

/// A detail of an error as Connect writes it.
#[derive(Deserialize)]
struct Detail {
    r#type: String,
    /// In base64, without padding.
    value: String,
}

impl Detail {
    fn reason(&self) -> Option<Reason> {
        if self.r#type != "google.rpc.ErrorInfo" {
            return None;
        }
        let info = ErrorInfo::decode(&*STANDARD_NO_PAD.decode(&self.value).ok()?).ok()?;
        Reason::from_str_name(&info.reason)
    }
}

/// What to do about a refusal, in terms of commands. The server's message is for every client.
const fn advice(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::OutlivesParent => Some(
            "Give an earlier --expires; or use a token that lives longer, such as one made by `hallpass login --expires 365d`.",
        ),
        Reason::LifetimeTooLong => {
            Some("Give an earlier --expires; `hallpass status` shows the policies.")
        }
        Reason::UserOwnsMachines => Some(
            "`hallpass machine list --owner USER` lists them, `hallpass machine set-owner MACHINE USER` gives one to somebody else.",
        ),
        // The server's message names only the token of the request.
        Reason::AlreadyRotated => {
            Some("`hallpass token get` of the rotated token shows which one that is.")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_once_they_are_complete() {
        let mut buffer = BytesMut::from(&[0, 0, 0, 0, 2, b'a'][..]);
        assert_eq!(next_frame(&mut buffer), None);
        buffer.extend([b'b', 2, 0, 0, 0, 0]);
        assert_eq!(next_frame(&mut buffer), Some((0, Bytes::from("ab"))));
        assert_eq!(next_frame(&mut buffer), Some((END_OF_STREAM, Bytes::new())));
        assert_eq!(next_frame(&mut buffer), None);
    }
}
