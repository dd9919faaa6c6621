//! The suite's `ConformanceService`, as its comments ask: do what the request says, and tell what was
//! seen of it. `Unimplemented` is left out on purpose.

use std::time::Duration;

use connectrpc_axum::message::error::code_from_tonic;
use futures_util::{Stream, StreamExt, stream};
use hallpass::server::{
    edge::{
        Protocol,
        handlers::{RpcContext, server_stream, unary},
    },
    error::ApiError,
};
use http::{HeaderName, HeaderValue};
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
        .unary(unary(reply))
        .idempotent_unary(unary(idempotent_reply))
        .server_stream(server_stream(replies))
        .build()
}

async fn reply((): (), call: RpcContext, request: UnaryRequest) -> Result<UnaryResponse, ApiError> {
    let info = seen(&call, &request);
    let payload = Some(answer(request.response_definition, &call, info).await?);
    Ok(UnaryResponse { payload })
}

async fn idempotent_reply(
    (): (),
    call: RpcContext,
    request: IdempotentUnaryRequest,
) -> Result<IdempotentUnaryResponse, ApiError> {
    let info = seen(&call, &request);
    let payload = Some(answer(request.response_definition, &call, info).await?);
    Ok(IdempotentUnaryResponse { payload })
}

async fn answer(
    definition: Option<UnaryResponseDefinition>,
    call: &RpcContext,
    info: RequestInfo,
) -> Result<ConformancePayload, ApiError> {
    let Some(definition) = definition else {
        return Ok(payload(Vec::new(), Some(info)));
    };
    set_fields(
        call,
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

async fn replies(
    (): (),
    call: RpcContext,
    request: ServerStreamRequest,
) -> Result<impl Stream<Item = Result<ServerStreamResponse, ApiError>>, ApiError> {
    let mut info = Some(seen(&call, &request));
    let definition = request.response_definition.unwrap_or_default();
    set_fields(
        &call,
        definition.response_headers,
        definition.response_trailers,
    );
    let delay = Duration::from_millis(definition.response_delay_ms.into());
    let mut steps: Vec<Result<ConformancePayload, ApiError>> = Vec::new();
    for data in definition.response_data {
        steps.push(Ok(payload(data, info.take())));
    }
    if let Some(error) = definition.error {
        steps.push(Err(to_error(error, info.take())));
    }
    Ok(stream::iter(steps).then(move |step| async move {
        let payload = Some(step?);
        tokio::time::sleep(delay).await;
        Ok(ServerStreamResponse { payload })
    }))
}

fn payload(data: impl Into<bytes::Bytes>, request_info: Option<RequestInfo>) -> ConformancePayload {
    let data = data.into().into();
    ConformancePayload { data, request_info }
}

fn set_fields(call: &RpcContext, headers: Vec<Header>, trailers: Vec<Header>) {
    for (name, value) in fields(headers) {
        call.add_header(name, value);
    }
    for (name, value) in fields(trailers) {
        call.add_trailer(name, value);
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

fn to_error(error: Error, info: Option<RequestInfo>) -> ApiError {
    let code = code_from_tonic(tonic::Code::from_i32(error.code));
    let made = ApiError::without_reason(code, error.message.map(Into::into));
    let info = info.map(|info| any(&info));
    let details = error.details.into_iter().chain(info);
    details.fold(made, |made, detail| {
        made.with_detail(detail.type_url, detail.value.to_vec())
    })
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{}", M::full_name()),
        value: message.encode_to_vec().into(),
    }
}

/// What the handler sees of the request.
fn seen<M: Message + Name>(call: &RpcContext, request: &M) -> RequestInfo {
    let headers = call.headers();
    let header = |name: &HeaderName| Header {
        name: name.to_string(),
        value: (headers.get_all(name).iter())
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect(),
    };
    let is_get = call.protocol() == Protocol::ConnectGet;
    RequestInfo {
        request_headers: headers.keys().map(header).collect(),
        timeout_ms: (call.timeout())
            .map(|timeout| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)),
        requests: vec![any(request)],
        connect_get_info: is_get.then(ConnectGetInfo::default),
    }
}
