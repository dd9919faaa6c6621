//! `POST /oauth2/revoke` (RFC 7009): whoever holds a token may end it. The token in the body is the authority;
//! a client need not show its own, but if it does, that must be good.

use axum::{
    Extension, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;

use crate::app::{App, Error, caller::Origin};

use super::{
    super::{current, endpoints::REVOKE, error::oauth},
    client::Client,
    form::{self, Form},
    none_stored,
};

/// The route.
pub fn routes(app: App) -> Router {
    let routes = Router::new().route(REVOKE.path, post(revoke));
    none_stored(routes.with_state(app))
}

async fn revoke(
    State(app): State<App>,
    Extension(origin): Extension<Origin>,
    request: Request,
) -> Response {
    match end(&app, &origin, request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => *refusal,
    }
}

async fn end(app: &App, origin: &Origin, request: Request) -> Result<(), Box<Response>> {
    let refused = |error: Error| Box::new(oauth::refusal(error));
    let (head, body) = request.into_parts();
    form::check(&head.headers)?;
    let form = Form::read(body).await?;
    let client = Client::read(&head.headers, &form)?;
    if !client.is_absent() {
        client.authenticate(app, origin).await?;
    }
    let token = form.token().map_err(|error| refused(error.into()))?;
    current::note_credential("token");
    let revoked = app.revoke_shown(token, origin).await.map_err(refused)?;
    if let Some((token, user)) = revoked {
        current::note_token(token, user);
    }
    Ok(())
}
