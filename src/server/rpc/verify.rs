//! `hallpass.v1.TokenService/VerifyToken`.

use crate::{
    app::{
        App,
        caller::Caller,
        verify::{Verification, VerifyToken},
    },
    domain::{presented_token::PresentedToken, secret::Secret},
    proto::hallpass::v1::{VerifyTokenRequest, VerifyTokenResponse},
};

use super::{
    super::{context::RequestContext, error},
    Reply, message,
};

pub(super) async fn verify(
    app: App,
    (caller, context): (Caller, RequestContext),
    request: VerifyTokenRequest,
) -> Reply<VerifyTokenResponse> {
    let token = Secret::new(request.token);
    let question = VerifyToken::parse(
        PresentedToken::from_paste(token.expose()),
        request.required_scopes.iter().map(String::as_str),
        &request.client_ip,
    );
    context.note_client_ip(
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
            context.note_reason(refused.reason());
            VerifyTokenResponse {
                reason: error::reason(refused.reason()).into(),
                ..VerifyTokenResponse::default()
            }
        }
    };
    Ok(reply)
}
