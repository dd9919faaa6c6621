//! `envoy.service.auth.v3.Authorization/Check` (Envoy's `ext_authz` over gRPC): whether a request may pass.
//!
//! It verifies the token of the request described in the message, and reveals nothing except to the token's holder,
//! so Envoy needs no credential. But anybody can write such a message: the client address in it is only trusted if
//! it comes from a trusted proxy, or from a caller who may verify tokens; otherwise the peer's address is used. A
//! check that fails is an error, which Envoy treats as a denial unless `failure_mode_allow` is set.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::{
    app::{App, caller::Caller, error::FieldError, verify::Verified},
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

use super::{
    super::{
        client_address::ClientAddress,
        context::RequestContext,
        external_auth::{self, AuthDenied, Decision, ParameterSource, Requirement},
    },
    Reply,
};

/// State of the handler.
#[derive(Clone, Debug)]
pub(super) struct Envoy {
    pub(super) app: App,
    pub(super) addresses: Arc<ClientAddress>,
}

pub(super) async fn check(
    Envoy { app, addresses }: Envoy,
    (caller, context): (Option<Caller>, RequestContext),
    request: CheckRequest,
) -> Reply<CheckResponse> {
    let attributes = request.attributes.unwrap_or_default();
    let required = requirement(&attributes)?;
    let client = context.client();
    let headers = headers(&attributes);
    let is_trusted = match &caller {
        Some(caller) => app.may_verify(caller).map(|()| true)?,
        None => context
            .peer()
            .ip()
            .is_some_and(|peer| addresses.trusts(peer)),
    };
    let claimed = source(&attributes).map(|source| addresses.find(source, &headers));
    context.note_client_ip(claimed);
    let source = if is_trusted {
        external_auth::RequestSource {
            client_ip: claimed,
            reporter_ip: claimed.and(client.ip),
        }
    } else {
        external_auth::RequestSource {
            client_ip: client.ip,
            reporter_ip: None,
        }
    };
    let decision = external_auth::check(&app, &context, &headers, &required, source);
    Ok(match decision.await? {
        Decision::Allowed(verified) => allowed(&verified),
        Decision::Denied(refusal) => denied(refusal),
    })
}

const PARAMETERS: ParameterSource = ParameterSource {
    field: "context_extensions",
    entry: "key",
    also: None,
};

/// The requirements in the route's `context_extensions`.
fn requirement(context: &AttributeContext) -> Result<Requirement, FieldError> {
    let extensions = context.context_extensions.iter();
    let pairs = extensions.map(|(name, value)| (name.as_str().into(), value.as_str().into()));
    Requirement::read(pairs, PARAMETERS)
}

/// The header fields that matter. Names that only differ in case are duplicates.
fn headers(context: &AttributeContext) -> HeaderMap {
    let read = [
        header::AUTHORIZATION,
        external_auth::API_KEY,
        HeaderName::from_static("x-forwarded-for"),
    ];
    let http = context.request.as_ref().and_then(|r| r.http.as_ref());
    let mut headers = HeaderMap::new();
    for (name, value) in http.into_iter().flat_map(fields) {
        let name = read
            .iter()
            .find(|read| name.eq_ignore_ascii_case(read.as_str()));
        if let Some(name) = name {
            // An invalid value still counts as present, so that a second one does not count as the only one.
            let value = HeaderValue::from_bytes(value);
            let value = value.unwrap_or(HeaderValue::from_static(""));
            headers.append(name, value);
        }
    }
    headers
}

/// All header fields. Envoy sends them as a map or, with `encode_raw_headers`, as a list.
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

/// The client connected to Envoy, if stated.
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
    let headers = external_auth::headers(verified);
    let headers = headers
        .into_iter()
        .map(|(name, value)| set(name.as_str(), value));
    let http_response = HttpResponse::OkResponse(OkHttpResponse {
        headers: headers.collect(),
    });
    response(tonic::Code::Ok, http_response)
}

fn denied(denied: AuthDenied) -> CheckResponse {
    let code = match denied.status {
        StatusCode::FORBIDDEN => tonic::Code::PermissionDenied,
        _ => tonic::Code::Unauthenticated,
    };
    let http_response = HttpResponse::DeniedResponse(DeniedHttpResponse {
        status: Some(HttpStatus {
            code: denied.status.as_u16().into(),
        }),
        headers: vec![
            set("www-authenticate", denied.challenge),
            set("content-type", "application/json".to_owned()),
        ],
        body: denied.body,
    });
    response(code, http_response)
}

fn response(code: tonic::Code, http_response: HttpResponse) -> CheckResponse {
    CheckResponse {
        status: Some(Status {
            code: code.into(),
            ..Status::default()
        }),
        http_response: Some(http_response),
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
