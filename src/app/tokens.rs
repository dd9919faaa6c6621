//! The use cases of tokens, and what they share: parsing fields, and finding the target.

mod create;
mod delete;
mod list_all;
mod read;
mod revocation;
mod revoke;
mod revoke_leaked;
mod revoke_named;
mod rotate;
mod selection;
mod undo_rotation;
mod update;

pub use create::{CreateToken, CreatedToken};
pub use list_all::ListAllTokens;
pub use read::{ListTokens, TokenImpact};
pub use revocation::{Revocation, TokenOutcome};
pub use revoke::RevokeTokens;
pub use revoke_leaked::{Leak, LeakRevocation, LeakStatus};
pub use rotate::{RotateToken, RotatedToken};
pub use selection::{TimeParts, TokenSelection};
pub use update::UpdateToken;

pub(super) use selection::parse_time;

pub use crate::metrics::TokenCounts;

use std::time::Duration;

use crate::{
    domain::{
        cidr::CidrSet, id::TokenId, lifetime, note::Note, scope::ScopeSet, time::Timestamp,
        token::Token,
    },
    store::{
        Tx,
        tokens::{self, Credential},
    },
};

use super::{
    App, Error,
    authz::{Action, Relation},
    caller::Caller,
    error::{Checked, Denied, FieldError, Noun},
    permit::{CallerInTx, Permit},
};

/// Maximum number of tokens that a transaction revokes, children included. The last token's children may exceed it.
const CHUNK: u32 = 1_000;
/// Pause after a full transaction, so that other writers are not held up.
const PAUSE: Duration = Duration::from_millis(120);

/// Maximum length of a token ID in a request.
const MAX_ID_BYTES: usize = 256;

/// The token ID in a request. `None`: it is malformed and is looked up and reported like one that does not exist.
pub(super) fn parse_token_id(text: &str) -> Result<Option<TokenId>, Error> {
    match text.len() {
        0 => Err(FieldError::new("token_id", "is required").into()),
        1..=MAX_ID_BYTES => Ok(TokenId::parse(text)),
        _ => Err(FieldError::new("token_id", "must be at most 256 bytes").into()),
    }
}

/// The caller's own token and its parent.
fn own_and_parent(caller: &Caller) -> Vec<TokenId> {
    let token = caller.token();
    let ids = token.map(|token| [Some(token.id), token.parent_id]);
    ids.into_iter().flatten().flatten().collect()
}

/// Whether `token_id` is the ID of the caller's own token.
fn is_itself(caller: &Caller, token_id: &str) -> bool {
    caller
        .token()
        .is_some_and(|token| token.id.encode().as_str() == token_id)
}

impl App {
    /// Refuses callers with a child token, and all callers with a token if the settings forbid token children.
    fn check_generation(&self, caller: &Caller) -> Result<(), Denied> {
        match caller.token() {
            Some(_) if self.options().forbid_token_children => Err(Denied::TokenChildren),
            Some(token) if token.parent_id.is_some() => Err(Denied::Lineage),
            _ => Ok(()),
        }
    }
}

/// A token that was disabled by an admin, or because a rotated secret was reused, can only be enabled by an admin.
fn check_enable(caller: &Caller, token: &Token) -> Result<(), Denied> {
    match token.disabled {
        Some(by) if by.needs_admin() && !caller.acts_as_admin() => Err(Denied::Disabled(by)),
        _ => Ok(()),
    }
}

/// The credential of the token `id`, if it is not revoked and the caller may do `action` to it. Any other token is
/// reported as not found, after the same work.
pub(super) fn find_target<'a>(
    tx: &Tx<'_>,
    caller: &'a CallerInTx<'_>,
    action: Action,
    id: Option<TokenId>,
) -> Result<(Credential, Permit<'a>), Error> {
    let is_kept = |found: &Credential| found.lineage.token.delete_time.is_none();
    find_among(tx, caller, action, id, is_kept)
}

/// The same, revoked tokens included, until they are purged.
pub(super) fn find_even_revoked<'a>(
    tx: &Tx<'_>,
    caller: &'a CallerInTx<'_>,
    action: Action,
    id: Option<TokenId>,
) -> Result<(Credential, Permit<'a>), Error> {
    find_among(tx, caller, action, id, |_| true)
}

fn find_among<'a>(
    tx: &Tx<'_>,
    caller: &'a CallerInTx<'_>,
    action: Action,
    id: Option<TokenId>,
    is_wanted: impl FnOnce(&Credential) -> bool,
) -> Result<(Credential, Permit<'a>), Error> {
    let found = tokens::find_credential(tx, id.unwrap_or(TokenId::NONE))?;
    let is_there = found.is_some();
    if let Some(found) = found.filter(is_wanted) {
        let relation = relation_to(caller, &found);
        if let Ok(permit) = caller.may(action, relation) {
            return Ok((found, permit));
        }
    }
    // Every refusal has read one existing and one missing token, so that its timing does not tell whether the
    // token exists.
    let own = caller.token().filter(|_| !is_there);
    tokens::find_credential(tx, own.map_or(TokenId::NONE, |token| token.id))?;
    Err(Error::NotFound(Noun::Token))
}

/// The relation of a token's user to the caller.
fn relation_to(caller: &Caller, found: &Credential) -> Relation {
    Relation::to(caller, found.lineage.token.user_id, found.user.as_ref())
}

fn parse_note(text: &str) -> Checked<Note> {
    Note::parse(text.to_owned()).map_err(|error| FieldError::new("note", error))
}

fn parse_scopes(scopes: &[String]) -> Checked<ScopeSet> {
    ScopeSet::parse(scopes.iter().map(String::as_str))
        .map_err(|error| FieldError::new("scopes", error))
}

fn parse_cidrs(cidrs: &[String]) -> Checked<CidrSet> {
    CidrSet::parse(cidrs.iter().map(String::as_str))
        .map_err(|error| FieldError::new("allowed_cidrs", error))
}

/// An expiry time, which must be later than `now`.
fn parse_expire_time(parts: Option<(i64, i32)>, now: Timestamp) -> Checked<Option<Timestamp>> {
    let expire_time = parts
        .map(|(seconds, nanos)| Timestamp::parse(seconds, nanos))
        .transpose()
        .map_err(|error| FieldError::new("expire_time", error))?;
    lifetime::check_future(expire_time, now)
        .map_err(|error| FieldError::new("expire_time", error))?;
    Ok(expire_time)
}

#[cfg(test)]
mod tests;
