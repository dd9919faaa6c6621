//! `hallpass.v1.TokenService`: procedures that rotate or update a token.

use axum::extract::State;
use connectrpc_axum::{ConnectError, ConnectRequest, ConnectResponse};

use crate::{
    app::{
        App,
        tokens::{RotateToken, UpdateToken},
    },
    proto::hallpass::v1::{
        RotateTokenRequest, RotateTokenResponse, UndoRotationRequest, UndoRotationResponse,
        UpdateTokenRequest, UpdateTokenResponse,
    },
};

use super::{super::authenticate::Authenticated, message};

pub(super) async fn rotate(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    ConnectRequest(request): ConnectRequest<RotateTokenRequest>,
) -> Result<ConnectResponse<RotateTokenResponse>, ConnectError> {
    let grace_period = request.grace_period;
    let request = RotateToken {
        token_id: request.token_id,
        grace_period: grace_period.map(|grace| (grace.seconds, grace.nanos)),
        expire_time: request.expire_time.map(|time| (time.seconds, time.nanos)),
        never_expires: request.never_expires,
    };
    let rotated = app.rotate_token(&caller, request).await?;
    Ok(ConnectResponse(RotateTokenResponse {
        token: rotated.text.expose().to_owned(),
        metadata: Some(message::token(rotated.token)),
        predecessor: Some(message::token(rotated.predecessor)),
    }))
}

pub(super) async fn update(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    ConnectRequest(request): ConnectRequest<UpdateTokenRequest>,
) -> Result<ConnectResponse<UpdateTokenResponse>, ConnectError> {
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
    Ok(ConnectResponse(UpdateTokenResponse {
        token: Some(message::token(token)),
    }))
}

pub(super) async fn undo_rotation(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    ConnectRequest(request): ConnectRequest<UndoRotationRequest>,
) -> Result<ConnectResponse<UndoRotationResponse>, ConnectError> {
    let token = app.undo_rotation(&caller, &request.token_id).await?;
    Ok(ConnectResponse(UndoRotationResponse {
        token: Some(message::token(token)),
    }))
}
