//! `POST /oauth2/revoke` (RFC 7009): whoever holds a token may end it. The token in the body is the authority; a
//! caller need not be named, but if one is, its credential must be good. An admin who is named reports a leak.

use axum::{
    Extension, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;

use crate::{
    app::{App, Error, caller::Origin, error::Unauthenticated},
    domain::presented_token::PresentedToken,
};

use super::{
    super::{
        auth::{self, AtHead},
        current,
        endpoints::REVOKE,
        error::oauth,
    },
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
    let caller = match auth::bearer_or_basic(&head.headers) {
        Err(Unauthenticated::Missing) => None,
        credential => {
            let caller = AtHead::authenticate(app, credential, origin).await;
            Some(caller.map_err(refused)?)
        }
    };
    let form = Form::read(body).await?;
    let caller = match caller {
        None => None,
        Some(caller) => Some(caller.look_again().await.map_err(refused)?),
    };
    let token = form.token().map_err(|error| refused(error.into()))?;
    current::note_credential("token");
    let Ok(presented) = PresentedToken::from_paste(token.expose()) else {
        // As what is none of ours (RFC 7009 §2.2).
        return Ok(());
    };
    let revoked = app.revoke_presented(presented, caller.as_ref(), origin);
    let revoked = revoked.await.map_err(refused)?;
    if let (Some((token, user)), None) = (revoked, caller) {
        current::note_token(token, user);
    }
    Ok(())
}
