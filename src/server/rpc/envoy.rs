//! `envoy.service.auth.v3.Authorization/Check`: Envoy asks whether a request may pass (`ext_authz` over gRPC).
//!
//! It is about the token that the request within the message shows, and nothing is told but to its holder; so
//! Envoy need not show a credential. But anyone can write a message: from where the token is used is believed of a
//! trusted proxy, or of a caller who may verify. Of others it is what we see. What cannot be answered is an error,
//! which Envoy takes for a no unless `failure_mode_allow` is set.

use std::{net::IpAddr, sync::Arc};

use axum::{Extension, extract::State};
use connectrpc_axum::{ConnectError, ConnectRequest, ConnectResponse};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::{
    app::{App, Error, error::FieldError, verify::Verified},
    proto::{
        envoy::{
            config::core::v3::{
                HeaderValue as HeaderField, HeaderValueOption, address::Address,
                header_value_option::HeaderAppendAction,
            },
            service::auth::v3::{
                AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
                attribute_context::HttpRequest, check_response::HttpResponse,
            },
            r#type::v3::HttpStatus,
        },
        google::rpc::Status,
    },
};

use super::super::{
    auth::{OptionalCaller, RequestOrigin},
    current,
    error::auth_denied::AuthDenied,
    identity::{self, ParameterSource, Requirement},
    listener::Peer,
    request_context::ClientAddress,
};

/// What the check needs.
#[derive(Clone, Debug)]
pub(super) struct Envoy {
    pub(super) app: App,
    pub(super) addresses: Arc<ClientAddress>,
}

pub(super) async fn check(
    State(Envoy { app, addresses }): State<Envoy>,
    OptionalCaller(caller): OptionalCaller,
    RequestOrigin(origin): RequestOrigin,
    Extension(peer): Extension<Peer>,
    ConnectRequest(request): ConnectRequest<CheckRequest>,
) -> Result<ConnectResponse<CheckResponse>, ConnectError> {
    let context = request.attributes.unwrap_or_default();
    let required = requirement(&context).map_err(Error::from)?;
    let headers = headers(&context);
    let is_believed = match &caller {
        Some(caller) => app.may_verify(caller).map(|()| true)?,
        None => peer.ip().is_some_and(|peer| addresses.trusts(peer)),
    };
    let claimed = source(&context).map(|source| addresses.find(source, &headers));
    current::note_client_ip(claimed);
    let source = if is_believed {
        identity::RequestSource {
            client_ip: claimed,
            reporter_ip: claimed.and(origin.ip),
        }
    } else {
        identity::RequestSource {
            client_ip: origin.ip,
            reporter_ip: None,
        }
    };
    let answer = match identity::check(&app, &headers, required, source, &origin).await? {
        Ok(verified) => allowed(&verified),
        Err(refusal) => denied(refusal),
    };
    Ok(ConnectResponse(answer))
}

const PARAMETERS: ParameterSource = ParameterSource {
    field: "context_extensions",
    name: "key",
    also: None,
};

/// What the route's `context_extensions` require.
fn requirement(context: &AttributeContext) -> Result<Requirement, FieldError> {
    let extensions = context.context_extensions.iter();
    let pairs = extensions.map(|(name, value)| (name.as_str().into(), value.as_str().into()));
    Requirement::read(pairs, PARAMETERS)
}

/// The header fields of the request that are read. Two names that differ in case only are the same twice.
fn headers(context: &AttributeContext) -> HeaderMap {
    let read = [
        header::AUTHORIZATION,
        identity::API_KEY,
        HeaderName::from_static("x-forwarded-for"),
    ];
    let http = context.request.as_ref().and_then(|r| r.http.as_ref());
    let mut headers = HeaderMap::new();
    for (name, value) in http.into_iter().flat_map(fields) {
        let name = read
            .iter()
            .find(|read| name.eq_ignore_ascii_case(read.as_str()));
        if let Some(name) = name {
            // One that cannot be a value is there all the same: beside it, another does not count alone.
            let value = HeaderValue::from_bytes(value);
            let value = value.unwrap_or(HeaderValue::from_static(""));
            headers.append(name, value);
        }
    }
    headers
}

/// All of them: together as text, or each as it came.
fn fields(http: &HttpRequest) -> impl Iterator<Item = (&str, &[u8])> {
    let together = http.headers.iter();
    let together = together.map(|(name, value)| (&**name, value.as_bytes()));
    let each = http.header_map.iter().flat_map(|map| &map.headers);
    let each = each.map(|field| match &*field.raw_value {
        [] => (&*field.key, field.value.as_bytes()),
        raw => (&*field.key, raw),
    });
    together.chain(each)
}

/// Who is connected to Envoy; `None`: not said.
fn source(context: &AttributeContext) -> Option<IpAddr> {
    let address = context
        .source
        .as_ref()?
        .address
        .as_ref()?
        .address
        .as_ref()?;
    let Address::SocketAddress(socket) = address;
    socket.address.parse().ok()
}

fn allowed(verified: &Verified) -> CheckResponse {
    let headers = identity::headers(verified);
    let headers = headers
        .into_iter()
        .map(|(name, value)| set(name.as_str(), value));
    let answer = HttpResponse::OkResponse(OkHttpResponse {
        headers: headers.collect(),
    });
    response(tonic::Code::Ok, answer)
}

fn denied(denied: AuthDenied) -> CheckResponse {
    let code = match denied.status {
        StatusCode::FORBIDDEN => tonic::Code::PermissionDenied,
        _ => tonic::Code::Unauthenticated,
    };
    let answer = HttpResponse::DeniedResponse(DeniedHttpResponse {
        status: Some(HttpStatus {
            code: denied.status.as_u16().into(),
        }),
        headers: vec![
            set("www-authenticate", denied.challenge),
            set("content-type", "application/json".to_owned()),
        ],
        body: denied.body,
    });
    response(code, answer)
}

fn response(code: tonic::Code, answer: HttpResponse) -> CheckResponse {
    CheckResponse {
        status: Some(Status {
            code: code.into(),
            ..Status::default()
        }),
        http_response: Some(answer),
    }
}

fn set(name: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderField {
            key: name.to_owned(),
            value,
            ..HeaderField::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        keep_empty_value: true,
    }
}
