//! `hallpass.v1.TokenService`: procedures that rotate or update a token.

use crate::{
    app::{
        App,
        caller::Caller,
        tokens::{RotateToken, UpdateToken},
    },
    proto::hallpass::v1::{
        RotateTokenRequest, RotateTokenResponse, UndoRotationRequest, UndoRotationResponse,
        UpdateTokenRequest, UpdateTokenResponse,
    },
};

use super::{Reply, message};

pub(super) async fn rotate(
    app: App,
    caller: Caller,
    request: RotateTokenRequest,
) -> Reply<RotateTokenResponse> {
    let grace_period = request.grace_period;
    let request = RotateToken {
        token_id: request.token_id,
        grace_period: grace_period.map(|grace| (grace.seconds, grace.nanos)),
        expire_time: request.expire_time.map(|time| (time.seconds, time.nanos)),
        never_expires: request.never_expires,
    };
    let rotated = app.rotate_token(&caller, request).await?;
    Ok(RotateTokenResponse {
        token: rotated.text.expose().to_owned(),
        metadata: Some(message::token(rotated.token)),
        predecessor: Some(message::token(rotated.predecessor)),
    })
}

pub(super) async fn update(
    app: App,
    caller: Caller,
    request: UpdateTokenRequest,
) -> Reply<UpdateTokenResponse> {
    let UpdateTokenRequest {
        token_id,
        note,
        disabled,
        scopes,
        allowed_cidrs,
    } = request;
    let request = UpdateToken {
        token_id,
        note,
        disabled,
        scopes,
        allowed_cidrs,
    };
    let token = app.update_token(&caller, request).await?;
    Ok(UpdateTokenResponse {
        token: Some(message::token(token)),
    })
}

pub(super) async fn undo_rotation(
    app: App,
    caller: Caller,
    request: UndoRotationRequest,
) -> Reply<UndoRotationResponse> {
    let token = app.undo_rotation(&caller, &request.token_id).await?;
    Ok(UndoRotationResponse {
        token: Some(message::token(token)),
    })
}
