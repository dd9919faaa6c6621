//! `hallpass.v1.TokenService/ExplainToken`.

use crate::{
    app::{
        self, App,
        caller::Caller,
        explain::{CredentialKind, ExplainToken, Explanation, TokenCreation},
    },
    domain::token::Token,
    proto::hallpass::v1::{self, ExplainTokenRequest, ExplainTokenResponse},
};

use super::{super::error, Reply, message};

pub(super) async fn explain(
    app: App,
    caller: Caller,
    request: ExplainTokenRequest,
) -> Reply<ExplainTokenResponse> {
    let plaintext = message::token_hash("plaintext_sha256", &request.plaintext_sha256);
    let plaintext = plaintext.map_err(app::Error::from)?;
    let question = ExplainToken {
        token_id: &request.token_id,
        plaintext,
        required_scopes: &request.required_scopes,
        client_ip: &request.client_ip,
    };
    let explanation = app.explain_token(&caller, question).await?;
    Ok(reply(explanation))
}

fn reply(explanation: Explanation) -> ExplainTokenResponse {
    let conditions = explanation.conditions.iter();
    let conditions = conditions.map(|condition| v1::TokenCondition {
        reason: error::reason(condition.reason).into(),
        holds: condition.holds,
        checked: condition.checked(),
        detail: explanation.detail(condition, |time| time.to_string()),
    });
    let endings = explanation.endings.iter().map(|ending| v1::TokenEnding {
        time: Some(message::timestamp(ending.time)),
        reason: error::reason(ending.reason).into(),
    });
    ExplainTokenResponse {
        valid: explanation.is_valid(),
        plaintext_matches: explanation.plaintext_matches,
        conditions: conditions.collect(),
        endings: endings.collect(),
        sentences: explanation.sentences(|time| time.to_string()),
        scopes: message::scopes(&explanation.scopes.unwrap_or_default()),
        allowed_cidrs: message::cidrs(&explanation.networks.unwrap_or_default()),
        delete_time: explanation.token.delete_time.map(message::timestamp),
        origin: explanation.creation.map(origin),
        family: explanation.family.into_iter().map(member).collect(),
        live_children: u32::try_from(explanation.live_children).unwrap_or(u32::MAX),
        token: Some(message::token(explanation.token)),
        user: explanation.user.map(message::user),
    }
}

fn origin(creation: TokenCreation) -> v1::TokenOrigin {
    let (credential, credential_id) = match creation.credential {
        CredentialKind::Password => (v1::CredentialKind::Password, String::new()),
        CredentialKind::Token(id) => (v1::CredentialKind::Token, id),
        CredentialKind::Local => (v1::CredentialKind::Local, String::new()),
    };
    v1::TokenOrigin {
        time: Some(message::timestamp(creation.time)),
        actor: creation.actor,
        credential: credential.into(),
        credential_id,
        rotated: creation.rotated,
    }
}

fn member(token: Token) -> v1::FamilyMember {
    v1::FamilyMember {
        id: token.id.to_string(),
        create_time: Some(message::timestamp(token.create_time)),
        expire_time: token.expire_time.map(message::timestamp),
        delete_time: token.delete_time.map(message::timestamp),
        last_use: token.last_use.map(message::last_use),
    }
}
