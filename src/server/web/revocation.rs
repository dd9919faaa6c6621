//! `POST /oauth2/revoke` (RFC 7009): whoever has a token may revoke it. The token in the body authorises the
//! request; client credentials are optional, but must be valid if present. If the client is an admin, the
//! revocation counts as the report of a leak.

use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};

use crate::domain::presented_token::PresentedToken;

use super::{super::error::oauth, client::ClientRequest, no_store, post_only};

pub(in crate::server) async fn serve(request: ClientRequest<'_>) -> Response {
    if request.head.method != Method::POST {
        return post_only();
    }
    no_store(match revoke(request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => *refusal,
    })
}

async fn revoke(request: ClientRequest<'_>) -> Result<(), Box<Response>> {
    let (app, context) = (request.app, request.context);
    let (form, client) = request.read().await?;
    let caller = if client.is_absent() {
        None
    } else {
        Some(client.authenticate(app, context).await?)
    };
    let token = form.token();
    let token = token.map_err(|error| Box::new(oauth::refusal(context, error)))?;
    context.note_credential("token");
    let Ok(presented) = PresentedToken::from_paste(token.expose()) else {
        // The same answer as for tokens that are not ours (RFC 7009 §2.2).
        return Ok(());
    };
    let revoked = app.revoke_presented(presented, caller.as_ref(), context.client());
    let revoked = revoked.await;
    let revoked = revoked.map_err(|error| Box::new(oauth::refusal(context, error)))?;
    if let (Some((token, user)), None) = (revoked, caller) {
        context.note_token(token, user);
    }
    Ok(())
}
