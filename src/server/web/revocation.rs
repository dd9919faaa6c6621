//! `POST /oauth2/revoke` (RFC 7009): whoever has a token may revoke it. The token in the body authorises the
//! request; client credentials are optional, but must be valid if present. If the client is an admin, the
//! revocation counts as the report of a leak.

use axum::{
    Extension, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;

use crate::{
    app::{App, Error, caller::ClientInfo},
    domain::presented_token::PresentedToken,
};

use super::{
    super::{current, endpoints::REVOKE, error::oauth},
    client::Client,
    form::{self, Form},
    no_store, not_allowed,
};

/// The route of token revocation.
pub fn routes(app: App) -> Router {
    let routes = Router::new().route(REVOKE.path, post(revoke).fallback(not_allowed));
    routes.with_state(app)
}

async fn revoke(
    State(app): State<App>,
    Extension(origin): Extension<ClientInfo>,
    request: Request,
) -> Response {
    no_store(match end(&app, &origin, request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => *refusal,
    })
}

async fn end(app: &App, origin: &ClientInfo, request: Request) -> Result<(), Box<Response>> {
    let refused = |error: Error| Box::new(oauth::refusal(error));
    let (head, body) = request.into_parts();
    form::check(&head.headers)?;
    let form = Form::read(body).await?;
    let client = Client::read(&head.headers, &form)?;
    let caller = if client.is_absent() {
        None
    } else {
        Some(client.authenticate(app, origin).await?)
    };
    let token = form.token().map_err(|error| refused(error.into()))?;
    current::note_credential("token");
    let Ok(presented) = PresentedToken::from_paste(token.expose()) else {
        // The same answer as for tokens that are not ours (RFC 7009 §2.2).
        return Ok(());
    };
    let revoked = app.revoke_presented(presented, caller.as_ref(), origin);
    let revoked = revoked.await.map_err(refused)?;
    if let (Some((token, user)), None) = (revoked, caller) {
        current::note_token(token, user);
    }
    Ok(())
}
