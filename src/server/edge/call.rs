//! Fifth step: the router of typed handlers. It is called over Connect with one protobuf message, whatever the
//! caller's protocol; its error replies are parsed back into errors.

use std::{
    str::FromStr,
    task::{Context, Poll},
};

use axum::{Router, body::Body, response::Response};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use connectrpc_axum::{Code, ConnectError, ConnectLayer, MessageLimits};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use serde::Deserialize;
use tower::{Service, ServiceExt};

use super::{
    classified::{Call, not_classified},
    error,
    method::Streaming,
    names,
};

/// Error replies are small; this only limits the damage of a bug.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// Calls the router of typed handlers.
#[derive(Clone, Debug)]
pub struct Handlers(Router);

impl Handlers {
    /// `router` holds the generated routers. The layer's own limits are off, since the edge enforces them; without
    /// the layer the handlers would answer in JSON.
    pub(super) fn new(router: Router) -> Self {
        let limits = MessageLimits::new();
        Self(router.layer(ConnectLayer::new().limits(limits)))
    }
}

impl Service<Request<Body>> for Handlers {
    type Response = Response;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let router = self.0.clone();
        Box::pin(async move {
            let call: &Call = request.extensions().get().ok_or_else(not_classified)?;
            let content_type = match call.method.streaming() {
                Streaming::Unary => "application/proto",
                Streaming::Server | Streaming::Client => "application/connect+proto",
            };
            let headers = request.headers_mut();
            for name in HANDLED_HEADERS {
                headers.remove(name);
            }
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let found = response.headers().get(header::CONTENT_TYPE);
            if response.status() == StatusCode::OK && found.is_some_and(|t| t == content_type) {
                return Ok(response);
            }
            Err(error_of(response).await)
        })
    }
}

/// Header fields that the edge has handled already, and that the router would handle again.
const HANDLED_HEADERS: [HeaderName; 11] = [
    header::ACCEPT_ENCODING,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::TE,
    names::CONNECT_ACCEPT_ENCODING,
    names::CONNECT_CONTENT_ENCODING,
    names::CONNECT_PROTOCOL_VERSION,
    names::CONNECT_TIMEOUT_MS,
    names::GRPC_ACCEPT_ENCODING,
    names::GRPC_ENCODING,
    names::GRPC_TIMEOUT,
];

async fn error_of(response: Response) -> ConnectError {
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MAX_ERROR_BYTES)
        .await
        .unwrap_or_default();
    if let Some(mut error) = parse(&body) {
        let mut meta = parts.headers;
        meta.remove(header::CONTENT_TYPE);
        meta.remove(header::CONTENT_LENGTH);
        if !meta.is_empty() {
            error = error.set_meta_from_headers(&meta);
        }
        return error::complete(error);
    }
    match parts.status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => error::no_such_procedure(),
        status => {
            tracing::error!(
                status = status.as_u16(),
                "a handler sent a reply that is not Connect"
            );
            error::internal("something is wrong in the server")
        }
    }
}

/// A Connect error in JSON.
#[derive(Deserialize)]
pub(super) struct ErrorJson {
    code: String,
    message: Option<String>,
    #[serde(default)]
    details: Vec<ErrorDetailJson>,
}

#[derive(Deserialize)]
struct ErrorDetailJson {
    #[serde(rename = "type")]
    type_name: String,
    value: String,
}

impl ErrorJson {
    pub(super) fn into_error(self) -> ConnectError {
        let code = Code::from_str(&self.code).unwrap_or(Code::Unknown);
        let error = match self.message {
            Some(message) => ConnectError::new(code, message),
            None => ConnectError::from_code(code),
        };
        self.details.into_iter().fold(error, |error, detail| {
            let value = STANDARD_NO_PAD.decode(detail.value).unwrap_or_default();
            error.add_detail(detail.type_name, value)
        })
    }
}

fn parse(body: &[u8]) -> Option<ConnectError> {
    serde_json::from_slice::<ErrorJson>(body)
        .ok()
        .map(ErrorJson::into_error)
}

/// The metadata of a Connect end-of-stream message, as headers.
pub(super) fn metadata(written: &std::collections::HashMap<String, Vec<String>>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in written {
        for value in values {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_str(name), HeaderValue::from_str(value))
            {
                headers.append(name, value);
            }
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    #[tokio::test]
    async fn error_survives_the_round_trip() {
        let error = ConnectError::new(Code::NotFound, "gone")
            .add_detail("type.googleapis.com/x.Y", vec![1, 2, 3])
            .with_meta("retry-after", "7");
        let back = error_of(error.into_response()).await;
        assert_eq!(
            (back.code(), back.message()),
            (Code::NotFound, Some("gone"))
        );
        assert_eq!(back.details()[0].type_url(), "x.Y");
        assert_eq!(back.details()[0].value(), [1, 2, 3]);
        assert_eq!(back.meta().unwrap()["retry-after"], "7");
    }

    #[tokio::test]
    async fn reply_that_is_not_connect_is_an_error() {
        let missing = error_of(StatusCode::NOT_FOUND.into_response()).await;
        assert_eq!(missing.code(), Code::Unimplemented);
        let odd = error_of("hello".into_response()).await;
        assert_eq!(odd.code(), Code::Internal);
    }
}
