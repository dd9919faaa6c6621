//! `hallpass.v1.ExplainTokenResponse`.

use serde::Serialize;

use super::{TokenAnswer, UserAnswer, time};
use crate::{
    app::explain::{CredentialKind, Explanation, TokenOrigin},
    domain::{
        cidr::CidrSet,
        scope::ScopeSet,
        token::{LastUse, Token},
    },
};

/// The answer to `token explain`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct ExplanationAnswer {
    token: TokenAnswer,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserAnswer>,
    valid: bool,
    conditions: Vec<ConditionAnswer>,
    scopes: Vec<String>,
    allowed_cidrs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OriginAnswer>,
    family: Vec<MemberAnswer>,
    live_children: u64,
    endings: Vec<EndingAnswer>,
    sentences: Vec<String>,
    /// Not the API's: whether the plaintext on stdin has the right secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_is_right: Option<bool>,
}

#[derive(Debug, Serialize)]
struct ConditionAnswer {
    reason: &'static str,
    holds: bool,
}

#[derive(Debug, Serialize)]
struct EndingAnswer {
    time: String,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OriginAnswer {
    time: String,
    actor: String,
    credential: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_id: Option<String>,
    rotated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberAnswer {
    id: String,
    create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_use: Option<LastUseAnswer>,
}

/// `hallpass.v1.LastUse`.
#[derive(Debug, Serialize)]
pub(super) struct LastUseAnswer {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
}

impl From<LastUse> for LastUseAnswer {
    fn from(last: LastUse) -> Self {
        Self {
            time: time(last.time),
            ip: last.ip.map(|ip| ip.to_string()),
        }
    }
}

impl ExplanationAnswer {
    pub(in crate::cli) fn new(explanation: &Explanation, secret_is_right: Option<bool>) -> Self {
        let conditions = explanation.conditions.iter();
        let conditions = conditions.map(|condition| ConditionAnswer {
            reason: condition.reason.as_str(),
            holds: condition.holds,
        });
        let endings = explanation.endings.iter().map(|ending| EndingAnswer {
            time: time(ending.time),
            reason: ending.reason.as_str(),
        });
        let scopes = explanation.scopes.iter().flat_map(ScopeSet::iter);
        let networks = explanation.networks.iter().flat_map(CidrSet::iter);
        Self {
            token: TokenAnswer::from(&explanation.token),
            user: explanation.user.as_ref().map(UserAnswer::from),
            valid: explanation.is_valid(),
            conditions: conditions.collect(),
            scopes: scopes.map(str::to_owned).collect(),
            allowed_cidrs: networks.map(ToString::to_string).collect(),
            delete_time: explanation.token.delete_time.map(time),
            origin: explanation.origin.as_ref().map(OriginAnswer::from),
            family: explanation.family.iter().map(MemberAnswer::from).collect(),
            live_children: explanation.live_children,
            endings: endings.collect(),
            sentences: explanation.sentences(time),
            secret_is_right,
        }
    }
}

impl From<&TokenOrigin> for OriginAnswer {
    fn from(origin: &TokenOrigin) -> Self {
        let (credential, credential_id) = match &origin.credential {
            CredentialKind::Password => ("CREDENTIAL_KIND_PASSWORD", None),
            CredentialKind::Token(id) => ("CREDENTIAL_KIND_TOKEN", Some(id.clone())),
            CredentialKind::Local => ("CREDENTIAL_KIND_LOCAL", None),
        };
        Self {
            time: time(origin.time),
            actor: origin.actor.clone(),
            credential,
            credential_id,
            rotated: origin.rotated,
        }
    }
}

impl From<&Token> for MemberAnswer {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.to_string(),
            create_time: time(token.create_time),
            expire_time: token.expire_time.map(time),
            delete_time: token.delete_time.map(time),
            last_use: token.last_use.map(LastUseAnswer::from),
        }
    }
}
