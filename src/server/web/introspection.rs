//! `POST /oauth2/introspect` (RFC 7662): token verification for services that use OAuth.
//!
//! Two parameters are our own: `scope`, the scopes the token must have, separated by spaces; and `client_ip`, the
//! address that uses the token, without which a token bound to networks is not active.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::Method;
use serde::Serialize;

use crate::{
    app::{
        error::FieldError,
        verify::{Verification, Verified, VerifyToken},
    },
    domain::{id::IdText, presented_token::PresentedToken, secret::Secret, time::Timestamp},
};

use super::{
    super::{error::oauth, public_url::Issuer},
    client::ClientRequest,
    form::Form,
    no_store, post_only,
};

pub(in crate::server) async fn serve(request: ClientRequest<'_>, issuer: &Issuer) -> Response {
    let head = request.head;
    if head.method != Method::POST {
        return post_only();
    }
    let issuer = issuer.find(request.context.peer(), &head.uri, &head.headers);
    no_store(match introspect(request, issuer).await {
        Ok(introspection) => Json(introspection).into_response(),
        Err(refusal) => *refusal,
    })
}

async fn introspect(
    request: ClientRequest<'_>,
    issuer: Option<String>,
) -> Result<Introspection, Box<Response>> {
    let (app, context) = (request.app, request.context);
    let (form, client) = request.read().await?;
    let scheme = client.scheme();
    let caller = client.authenticate(app, context).await?;
    let question = question(&form);
    context.note_client_ip(question.as_ref().map_or(None, |q| q.client_ip));
    let verification = app.verify_for(&caller, question).await;
    let refused = |error| Box::new(oauth::refusal_of(context, error, scheme));
    Ok(match verification.map_err(refused)? {
        Verification::Valid(verified) => Introspection::of(&verified, issuer),
        // The reason is only logged, not returned (RFC 7662 §2.2).
        Verification::Invalid(refused) => {
            context.note_reason(refused.reason());
            Introspection::default()
        }
    })
}

fn question(form: &Form) -> Result<VerifyToken, FieldError> {
    form.refuse_misspelt()?;
    let (scope, client_ip) = (form.find("scope")?, form.find("client_ip")?);
    let scopes = scope
        .into_iter()
        .flat_map(|scope| scope.expose().split(' '));
    let client_ip = client_ip.map_or("", Secret::expose);
    let token = PresentedToken::from_paste(form.token()?.expose());
    VerifyToken::parse(token, scopes, client_ip).map_err(|error| match error.field {
        "required_scopes" => FieldError::new("scope", error.problem),
        _ => error,
    })
}

/// The response. For an inactive token it contains nothing else.
#[derive(Debug, Default, Serialize)]
struct Introspection {
    active: bool,
    /// Absent: not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// The user's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<IdText>,
    /// Also the user's ID: a token's user acts for nobody else (RFC 9068 §2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<IdText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// In seconds, rounded down. Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// The token's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<IdText>,
    /// The same as in the metadata. Absent: there is neither a public URL nor a host in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
}

impl Introspection {
    fn of(verified: &Verified, issuer: Option<String>) -> Self {
        let (token, user) = (verified.token(), verified.user());
        let user_id = user.id.encode();
        Self {
            active: true,
            scope: (!token.scopes.is_empty()).then(|| token.scopes.to_string()),
            username: Some(user.username.as_str().to_owned()),
            sub: Some(user_id),
            client_id: Some(user_id),
            token_type: Some("Bearer"),
            exp: token.expire_time.map(seconds),
            iat: Some(seconds(token.create_time)),
            jti: Some(token.id.encode()),
            iss: issuer,
        }
    }
}

fn seconds(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(1_000_000)
}
