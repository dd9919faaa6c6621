//! `hallpass.v1.TokenService/VerifyToken`.

use axum::extract::State;
use connectrpc_axum::{ConnectError, ConnectRequest, ConnectResponse};

use crate::{
    app::{
        App,
        verify::{Verification, VerifyToken},
    },
    domain::{presented_token::PresentedToken, secret::Secret},
    proto::hallpass::v1::{VerifyTokenRequest, VerifyTokenResponse},
};

use super::{
    super::{authenticate::Authenticated, current, error},
    message,
};

pub(super) async fn verify(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    ConnectRequest(request): ConnectRequest<VerifyTokenRequest>,
) -> Result<ConnectResponse<VerifyTokenResponse>, ConnectError> {
    let token = Secret::new(request.token);
    let question = VerifyToken::parse(
        PresentedToken::from_paste(token.expose()),
        request.required_scopes.iter().map(String::as_str),
        &request.client_ip,
    );
    current::note_routine();
    current::note_client_ip(
        question
            .as_ref()
            .map_or(None, |question| question.client_ip),
    );
    let reply = match app.verify_for(&caller, question).await? {
        Verification::Valid(verified) => VerifyTokenResponse {
            valid: true,
            token: Some(message::token(verified.token())),
            user: Some(message::user(verified.user().clone())),
            ..VerifyTokenResponse::default()
        },
        Verification::Invalid(refused) => {
            current::note_reason(refused.reason().as_str());
            VerifyTokenResponse {
                reason: error::reason(refused.reason()).into(),
                ..VerifyTokenResponse::default()
            }
        }
    };
    Ok(ConnectResponse(reply))
}
