//! `hallpass.v1.AuthnService`, and the only procedure of `buf.registry.owner.v1.UserService`.

use crate::{
    app::{App, caller::Caller},
    proto::{
        buf::registry::owner::v1 as owner,
        hallpass::v1::{self, GetCurrentUserRequest, GetCurrentUserResponse},
    },
};

use super::{Reply, message};

pub(super) async fn current(
    app: App,
    caller: Caller,
    _: GetCurrentUserRequest,
) -> Reply<GetCurrentUserResponse> {
    app.may_get_current_user(&caller)?;
    let token = caller.token().cloned().map(|token| v1::Token {
        last_use: None,
        ..message::token(token)
    });
    Ok(GetCurrentUserResponse {
        user: caller.user().cloned().map(message::user),
        token,
        actor: caller.actor(),
    })
}

pub(super) async fn current_as_owner(
    app: App,
    caller: Caller,
    _: owner::GetCurrentUserRequest,
) -> Reply<owner::GetCurrentUserResponse> {
    let user = app.current_user(&caller)?;
    Ok(owner::GetCurrentUserResponse {
        user: Some(message::owner_user(user)),
    })
}
