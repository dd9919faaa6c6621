//! Conversions from domain types to protobuf messages.

use std::{collections::HashMap, net::IpAddr};

use pbjson_types::Timestamp as ProtoTimestamp;

use crate::{
    app::{
        error::{Checked, FieldError},
        tokens::TimeParts,
        users::Usernames,
    },
    domain::{
        audit::LinkedRow,
        cidr::CidrSet,
        scope::ScopeSet,
        time::Timestamp,
        token::{DisabledBy, LastUse, Token},
        token_text::TokenHash,
        user::{Role, User},
    },
    proto::{buf::registry::owner::v1 as owner, hallpass::v1},
};

pub(super) fn timestamp(time: Timestamp) -> ProtoTimestamp {
    let (seconds, nanos) = time.to_parts();
    ProtoTimestamp { seconds, nanos }
}

/// A time of a request, which the use case reads.
pub(super) const fn time_parts(time: ProtoTimestamp) -> TimeParts {
    (time.seconds, time.nanos)
}

pub(super) fn token(token: Token) -> v1::Token {
    v1::Token {
        id: token.id.to_string(),
        create_time: Some(timestamp(token.create_time)),
        expire_time: token.expire_time.map(timestamp),
        note: token.note.as_str().to_owned(),
        scopes: scopes(&token.scopes),
        allowed_cidrs: cidrs(&token.allowed_cidrs),
        user_id: token.user_id.to_string(),
        disabled: token.disabled.is_some(),
        parent_id: token.parent_id.map(|id| id.to_string()).unwrap_or_default(),
        family_id: token.family_id.to_string(),
        last_use: token.last_use.map(last_use),
        successor_id: token
            .successor_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        disabled_by: disabled_by(token.disabled).into(),
        delete_time: token.delete_time.map(timestamp),
    }
}

const fn disabled_by(by: Option<DisabledBy>) -> v1::DisabledBy {
    match by {
        None => v1::DisabledBy::Unspecified,
        Some(DisabledBy::Owner) => v1::DisabledBy::Owner,
        Some(DisabledBy::Admin) => v1::DisabledBy::Admin,
        Some(DisabledBy::Reuse) => v1::DisabledBy::Reuse,
    }
}

pub(super) fn usernames(names: Usernames) -> HashMap<String, String> {
    let names = names.into_iter();
    names
        .map(|(id, name)| (id.to_string(), name.as_str().to_owned()))
        .collect()
}

pub(super) fn last_use(last: LastUse) -> v1::LastUse {
    v1::LastUse {
        time: Some(timestamp(last.time)),
        ip: address(last.ip),
        reporter_ip: address(last.reporter_ip),
    }
}

fn address(ip: Option<IpAddr>) -> String {
    ip.map(|ip| ip.to_string()).unwrap_or_default()
}

pub(super) fn scopes(scopes: &ScopeSet) -> Vec<String> {
    scopes.iter().map(str::to_owned).collect()
}

pub(super) fn cidrs(cidrs: &CidrSet) -> Vec<String> {
    cidrs.iter().map(ToString::to_string).collect()
}

pub(super) fn user(user: User) -> v1::User {
    let (user_type, role) = (user_type(&user), role(user.role));
    v1::User {
        id: user.id.to_string(),
        create_time: Some(timestamp(user.create_time)),
        update_time: Some(timestamp(user.update_time)),
        username: user.username.as_str().to_owned(),
        deactivated: user.deactivated,
        description: user.description.as_str().to_owned(),
        user_type: user_type.into(),
        role: role.into(),
        owner_id: user.owner().map(|id| id.to_string()).unwrap_or_default(),
    }
}

pub(super) fn user_type(user: &User) -> v1::UserType {
    if user.owner().is_some() {
        v1::UserType::Machine
    } else {
        v1::UserType::Personal
    }
}

const fn role(role: Role) -> v1::ServerRole {
    match role {
        Role::Admin => v1::ServerRole::Admin,
        Role::Member => v1::ServerRole::Member,
    }
}

pub(super) fn owner_user(user: User) -> owner::User {
    let user_type = match user_type(&user) {
        v1::UserType::Machine => owner::UserType::Bot,
        _ => owner::UserType::Standard,
    };
    let state = if user.deactivated {
        owner::UserState::Inactive
    } else {
        owner::UserState::Active
    };
    let role = match user.role {
        Role::Admin => owner::UserInstanceRole::Admin,
        Role::Member => owner::UserInstanceRole::Member,
    };
    owner::User {
        id: user.id.to_string(),
        create_time: Some(timestamp(user.create_time)),
        update_time: Some(timestamp(user.update_time)),
        name: user.username.as_str().to_owned(),
        r#type: user_type.into(),
        state: state.into(),
        description: user.description.as_str().to_owned(),
        user_instance_role: role.into(),
    }
}

/// The hash of a plaintext in a request's `field`; `None` if it is empty.
pub(super) fn token_hash(field: &'static str, bytes: &[u8]) -> Checked<Option<TokenHash>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let bytes = bytes
        .try_into()
        .map_err(|_| FieldError::new(field, "must be the 32 bytes of a SHA-256"))?;
    Ok(Some(TokenHash::from_row(bytes)))
}

pub(super) fn audit_event(linked: LinkedRow) -> v1::AuditEvent {
    let LinkedRow { row, previous } = linked;
    let previous = previous.map(|hash| hash.as_bytes().to_vec());
    v1::AuditEvent {
        sequence: row.sequence,
        time: Some(timestamp(row.time)),
        actor: row.actor,
        credential_kind: row.credential_kind,
        credential_id: row.credential_id,
        target: row.target,
        successor_id: row.successor_id,
        action: row.action,
        outcome: row.outcome,
        count: row.count,
        request_id: row.request_id,
        client_request_id: row.client_request_id,
        ip: row.ip,
        user_agent: row.user_agent,
        hash: row.hash.as_bytes().to_vec(),
        format: row.format,
        previous_hash: previous.unwrap_or_default(),
    }
}
