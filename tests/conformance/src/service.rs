//! The suite's `ConformanceService`, as its comments ask: do what the request says, and tell what was
//! seen of it. `Unimplemented` is left out on purpose.

use std::time::Duration;

use axum::extract::FromRequestParts;
use connectrpc_axum::{
    ConnectError, ConnectRequest, ConnectResponse, StreamBody, message::error::code_from_tonic,
};
use futures_util::{Stream, StreamExt, stream};
use hallpass::server::edge::{Call, Protocol, ReplyMetadata};
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use pbjson_types::Any;
use prost::{Message, Name};

use crate::proto::{
    ConformancePayload, Error, Header, IdempotentUnaryRequest, IdempotentUnaryResponse,
    ServerStreamRequest, ServerStreamResponse, UnaryRequest, UnaryResponse,
    UnaryResponseDefinition,
    conformance_payload::{ConnectGetInfo, RequestInfo},
    conformance_service_connect::ConformanceServiceBuilder,
    unary_response_definition::Response,
};

/// The generated router with our handlers.
pub fn router() -> axum::Router {
    ConformanceServiceBuilder::<()>::new()
        .unary(unary)
        .idempotent_unary(idempotent_unary)
        .server_stream(server_stream)
        .build()
}

async fn unary(
    seen: Seen,
    reply: ReplyMetadata,
    ConnectRequest(request): ConnectRequest<UnaryRequest>,
) -> Result<ConnectResponse<UnaryResponse>, ConnectError> {
    let info = seen.info(&request);
    let payload = Some(answer(request.response_definition, &reply, info).await?);
    Ok(ConnectResponse(UnaryResponse { payload }))
}

async fn idempotent_unary(
    seen: Seen,
    reply: ReplyMetadata,
    ConnectRequest(request): ConnectRequest<IdempotentUnaryRequest>,
) -> Result<ConnectResponse<IdempotentUnaryResponse>, ConnectError> {
    let info = seen.info(&request);
    let payload = Some(answer(request.response_definition, &reply, info).await?);
    Ok(ConnectResponse(IdempotentUnaryResponse { payload }))
}

async fn answer(
    definition: Option<UnaryResponseDefinition>,
    reply: &ReplyMetadata,
    info: RequestInfo,
) -> Result<ConformancePayload, ConnectError> {
    let Some(definition) = definition else {
        return Ok(payload(Vec::new(), Some(info)));
    };
    set_fields(
        reply,
        definition.response_headers,
        definition.response_trailers,
    );
    tokio::time::sleep(Duration::from_millis(definition.response_delay_ms.into())).await;
    match definition.response {
        Some(Response::Error(error)) => Err(to_error(error, Some(info))),
        Some(Response::ResponseData(data)) => Ok(payload(data, Some(info))),
        None => Ok(payload(Vec::new(), Some(info))),
    }
}

async fn server_stream(
    seen: Seen,
    reply: ReplyMetadata,
    ConnectRequest(request): ConnectRequest<ServerStreamRequest>,
) -> Result<
    ConnectResponse<StreamBody<impl Stream<Item = Result<ServerStreamResponse, ConnectError>>>>,
    ConnectError,
> {
    let mut info = Some(seen.info(&request));
    let definition = request.response_definition.unwrap_or_default();
    set_fields(
        &reply,
        definition.response_headers,
        definition.response_trailers,
    );
    let delay = Duration::from_millis(definition.response_delay_ms.into());
    let mut steps: Vec<Result<ConformancePayload, ConnectError>> = Vec::new();
    for data in definition.response_data {
        steps.push(Ok(payload(data, info.take())));
    }
    if let Some(error) = definition.error {
        steps.push(Err(to_error(error, info.take())));
    }
    let messages = stream::iter(steps).then(move |step| async move {
        let payload = Some(step?);
        tokio::time::sleep(delay).await;
        Ok(ServerStreamResponse { payload })
    });
    Ok(ConnectResponse(StreamBody::new(messages)))
}

fn payload(data: impl Into<bytes::Bytes>, request_info: Option<RequestInfo>) -> ConformancePayload {
    let data = data.into().into();
    ConformancePayload { data, request_info }
}

fn set_fields(reply: &ReplyMetadata, headers: Vec<Header>, trailers: Vec<Header>) {
    for (name, value) in fields(headers) {
        reply.add_header(name, value);
    }
    for (name, value) in fields(trailers) {
        reply.add_trailer(name, value);
    }
}

fn fields(headers: Vec<Header>) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    headers.into_iter().flat_map(|header| {
        let name = HeaderName::try_from(header.name).expect("the suite sends valid names");
        header.value.into_iter().map(move |value| {
            let value = HeaderValue::try_from(value).expect("the suite sends valid values");
            (name.clone(), value)
        })
    })
}

fn to_error(error: Error, info: Option<RequestInfo>) -> ConnectError {
    let code = code_from_tonic(tonic::Code::from_i32(error.code));
    let made = match error.message {
        Some(message) => ConnectError::new(code, message),
        None => ConnectError::from_code(code),
    };
    let info = info.map(|info| any(&info));
    let details = error.details.into_iter().chain(info);
    details.fold(made, |made, detail| {
        made.add_detail(detail.type_url, detail.value.to_vec())
    })
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{}", M::full_name()),
        value: message.encode_to_vec().into(),
    }
}

/// What the handler can see of the request besides its message.
struct Seen {
    headers: HeaderMap,
    call: Call,
}

impl<S: Sync> FromRequestParts<S> for Seen {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ConnectError> {
        let call = Call::from_request_parts(parts, state).await?;
        let headers = parts.headers.clone();
        Ok(Self { headers, call })
    }
}

impl Seen {
    fn info<M: Message + Name>(&self, request: &M) -> RequestInfo {
        let header = |name: &HeaderName| Header {
            name: name.to_string(),
            value: (self.headers.get_all(name).iter())
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect(),
        };
        let is_get = self.call.wire().protocol == Protocol::ConnectGet;
        RequestInfo {
            request_headers: self.headers.keys().map(header).collect(),
            timeout_ms: (self.call.timeout())
                .map(|timeout| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)),
            requests: vec![any(request)],
            connect_get_info: is_get.then(ConnectGetInfo::default),
        }
    }
}
