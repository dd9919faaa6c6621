//! `POST /oauth2/revoke` (RFC 7009): whoever holds a token may end it. The token in the body is the authority;
//! an Authorization header need not be there, but if it is, it must be good.

use axum::{
    Extension, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;

use crate::app::{App, Error, caller::Origin, error::Unauthenticated};

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
    if let Some(caller) = caller {
        caller.look_again().await.map_err(refused)?;
    }
    let token = form.token().map_err(|error| refused(error.into()))?;
    current::note_credential("token");
    let revoked = app.revoke_shown(token, origin).await.map_err(refused)?;
    if let Some((token, user)) = revoked {
        current::note_token(token, user);
    }
    Ok(())
}
