//! `hallpass.v1.AuthnService`, and the only procedure of `buf.registry.owner.v1.UserService`.

use axum::extract::State;
use connectrpc_axum::{ConnectError, ConnectRequest, ConnectResponse};

use crate::{
    app::App,
    proto::{
        buf::registry::owner::v1 as owner,
        hallpass::v1::{self, GetCurrentUserRequest, GetCurrentUserResponse},
    },
};

use super::{super::authenticate::Authenticated, message};

pub(super) async fn current(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    ConnectRequest(_): ConnectRequest<GetCurrentUserRequest>,
) -> Result<ConnectResponse<GetCurrentUserResponse>, ConnectError> {
    app.may_get_current_user(&caller)?;
    let token = caller.token().cloned().map(|token| v1::Token {
        last_use: None,
        ..message::token(token)
    });
    Ok(ConnectResponse(GetCurrentUserResponse {
        user: caller.user().cloned().map(message::user),
        token,
        actor: caller.actor(),
    }))
}

pub(super) async fn current_as_owner(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    ConnectRequest(_): ConnectRequest<owner::GetCurrentUserRequest>,
) -> Result<ConnectResponse<owner::GetCurrentUserResponse>, ConnectError> {
    let user = app.current_user(&caller)?;
    Ok(ConnectResponse(owner::GetCurrentUserResponse {
        user: Some(message::owner_user(user)),
    }))
}
