//! `POST /oauth2/introspect` (RFC 7662): whether a token is valid, and whose, for services that speak OAuth.
//!
//! Two parameters are ours: `scope`, the scopes that the token must have, separated by spaces; and
//! `client_ip`, from where it is used, without which a token that is bound to networks is not active.

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Serialize;

use crate::{
    app::{
        App, Error,
        caller::Origin,
        error::FieldError,
        verify::{Question, Verification, Verified},
    },
    domain::{presented_token::PresentedToken, secret::Secret, time::Timestamp},
};

use super::{
    super::{
        auth::{self, AtHead},
        current,
        endpoints::INTROSPECT,
        error::oauth,
    },
    form::{self, Form},
    none_stored,
};

/// The route.
pub fn routes(app: App) -> Router {
    let routes = Router::new().route(INTROSPECT.path, post(introspect));
    none_stored(routes.with_state(app))
}

async fn introspect(
    State(app): State<App>,
    Extension(origin): Extension<Origin>,
    request: Request,
) -> Response {
    match answer(&app, &origin, request).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => *refusal,
    }
}

async fn answer(
    app: &App,
    origin: &Origin,
    request: Request,
) -> Result<Introspection, Box<Response>> {
    let refused = |error: Error| Box::new(oauth::refusal(error));
    let (head, body) = request.into_parts();
    form::check(&head.headers)?;
    let credential = auth::bearer_or_basic(&head.headers);
    let caller = AtHead::authenticate(app, credential, origin).await;
    let caller = caller.map_err(refused)?;
    let form = Form::read(body).await?;
    let caller = caller.look_again().await.map_err(refused)?;
    current::note_routine();
    let verification = app.verify_for(&caller, question(&form)).await;
    Ok(match verification.map_err(refused)? {
        Verification::Valid(verified) => Introspection::of(&verified),
        // Why it is not, is told to the log alone (RFC 7662 §2.2).
        Verification::Invalid(refused) => {
            current::note_reason(refused.reason().as_str());
            Introspection::default()
        }
    })
}

fn question(form: &Form) -> Result<Question, FieldError> {
    form.refuse_mistaken()?;
    let (scope, client_ip) = (form.find("scope")?, form.find("client_ip")?);
    let scopes = scope
        .into_iter()
        .flat_map(|scope| scope.expose().split(' '));
    let client_ip = client_ip.map_or("", Secret::expose);
    let token = PresentedToken::from_paste(form.token()?.expose());
    Question::parse(token, scopes, client_ip).map_err(|error| match error.field {
        "required_scopes" => FieldError::new("scope", error.problem),
        _ => error,
    })
}

/// The answer. Of a token that is not active nothing else is said.
#[derive(Debug, Default, Serialize)]
struct Introspection {
    active: bool,
    /// Absent: it is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// The user's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// Whole seconds, rounded down. Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// The token's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
}

impl Introspection {
    fn of(verified: &Verified) -> Self {
        let (token, user) = (verified.token(), verified.user());
        Self {
            active: true,
            scope: (!token.scopes.is_empty()).then(|| token.scopes.to_string()),
            username: Some(user.username.as_str().to_owned()),
            sub: Some(user.id.to_string()),
            token_type: Some("Bearer"),
            exp: token.expire_time.map(seconds),
            iat: Some(seconds(token.create_time)),
            jti: Some(token.id.to_string()),
        }
    }
}

fn seconds(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(1_000_000)
}
