//! What `--json` prints: the API's answers, with the names and forms of their protobuf JSON, so that a
//! script reads both alike. Fields are always there, but for those that stand for what there is none of.

mod explanation;

pub(super) use explanation::ExplanationAnswer;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap};

use self::explanation::LastUseAnswer;
use crate::domain::{
    audit::AuditRow,
    time::Timestamp,
    token::Token,
    user::{Role, User, UserKind},
};

/// An answer with one field, as most are.
#[derive(Debug)]
pub(super) struct Answer<T>(pub(super) &'static str, pub(super) T);

impl<T: Serialize> Serialize for Answer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &self.1)?;
        map.end()
    }
}

/// RFC 3339 with 0, 3 or 6 digits of the second's fraction, as protobuf JSON has it.
fn time(time: Timestamp) -> String {
    let mut text = time.to_string();
    while let Some(head) = text.strip_suffix("000Z") {
        text = format!("{head}Z");
    }
    text
}

/// `hallpass.v1.CreateTokenResponse`.
#[derive(Serialize)]
pub(super) struct CreatedAnswer<'a> {
    /// The plaintext: no `Debug`, which would print it.
    pub(super) token: &'a str,
    pub(super) metadata: TokenAnswer,
}

/// `hallpass.v1.RotateTokenResponse`.
#[derive(Serialize)]
pub(super) struct RotatedAnswer<'a> {
    /// The plaintext: no `Debug`, which would print it.
    pub(super) token: &'a str,
    pub(super) metadata: TokenAnswer,
    pub(super) predecessor: TokenAnswer,
}

/// `hallpass.v1.User`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserAnswer {
    id: String,
    create_time: String,
    update_time: String,
    username: String,
    deactivated: bool,
    description: String,
    user_type: &'static str,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_id: Option<String>,
}

impl From<&User> for UserAnswer {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            create_time: time(user.create_time),
            update_time: time(user.update_time),
            username: user.username.to_string(),
            deactivated: user.deactivated,
            description: user.description.as_str().to_owned(),
            user_type: match user.kind {
                UserKind::Person => "USER_TYPE_PERSONAL",
                UserKind::Machine { .. } => "USER_TYPE_MACHINE",
            },
            role: match user.role {
                Role::Admin => "SERVER_ROLE_ADMIN",
                Role::Member => "SERVER_ROLE_MEMBER",
            },
            owner_id: user.owner().map(|id| id.to_string()),
        }
    }
}

/// `hallpass.v1.Token`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenAnswer {
    id: String,
    create_time: String,
    /// Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<String>,
    note: String,
    scopes: Vec<String>,
    allowed_cidrs: Vec<String>,
    user_id: String,
    disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    family_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_use: Option<LastUseAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    successor_id: Option<String>,
}

impl From<&Token> for TokenAnswer {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.to_string(),
            create_time: time(token.create_time),
            expire_time: token.expire_time.map(time),
            note: token.note.as_str().to_owned(),
            scopes: token.scopes.iter().map(ToString::to_string).collect(),
            allowed_cidrs: token
                .allowed_cidrs
                .iter()
                .map(ToString::to_string)
                .collect(),
            user_id: token.user_id.to_string(),
            disabled: token.disabled,
            parent_id: token.parent_id.map(|id| id.to_string()),
            family_id: token.family_id.to_string(),
            last_use: token.last_use.map(LastUseAnswer::from),
            successor_id: token.successor_id.map(|id| id.to_string()),
        }
    }
}

/// `hallpass.v1.CountAllTokensResponse`.
#[derive(Debug, Serialize)]
pub(super) struct CountsAnswer {
    #[serde(rename = "liveCount")]
    pub(super) live: u64,
    #[serde(rename = "disabledCount")]
    pub(super) disabled: u64,
    #[serde(rename = "expiredCount")]
    pub(super) expired: u64,
}

/// `hallpass.v1.RevokeTokensResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RevokedAnswer {
    pub(super) token_count: u32,
    pub(super) child_count: u32,
    pub(super) first_tokens: Vec<TokenAnswer>,
    pub(super) outcomes: Vec<&'static str>,
}

/// `hallpass.v1.AuditEvent`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditAnswer<'a> {
    /// A text: protobuf JSON does not trust numbers with 64 bits.
    sequence: String,
    time: String,
    actor: &'a str,
    credential_id: &'a str,
    target: &'a str,
    action: &'a str,
    outcome: &'a str,
    count: u32,
    request_id: &'a str,
    client_request_id: &'a str,
    ip: &'a str,
    user_agent: &'a str,
    hash: String,
}

impl<'a> From<&'a AuditRow> for AuditAnswer<'a> {
    fn from(row: &'a AuditRow) -> Self {
        Self {
            sequence: row.sequence.to_string(),
            time: time(row.time),
            actor: &row.actor,
            credential_id: &row.credential_id,
            target: &row.target,
            action: &row.action,
            outcome: &row.outcome,
            count: row.count,
            request_id: &row.request_id,
            client_request_id: &row.client_request_id,
            ip: &row.ip,
            user_agent: &row.user_agent,
            hash: STANDARD.encode(row.hash.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_no_more_digits_than_protobuf_json_gives_it() {
        const SECOND: i64 = 1_800_000_000_000_000;
        for (micros, digits) in [
            (0, ""),
            (120_000, ".120"),
            (120_003, ".120003"),
            (3, ".000003"),
        ] {
            let text = time(Timestamp::from_micros(SECOND + micros));
            assert_eq!(text, format!("2027-01-15T08:00:00{digits}Z"));
        }
    }
}
