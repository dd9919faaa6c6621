//! The use cases of tokens.

mod create;
mod delete;
mod list_all;
mod look_up;
mod read;
mod revoke;
mod revoke_leaked;
mod rotate;
mod selection;
mod undo_rotation;
mod update;

pub use create::{CreateToken, CreatedToken};
pub use list_all::ListAllTokens;
pub use look_up::TokenStakes;
pub use read::ListTokens;
pub use revoke::{Outcome, Revocation, RevokeTokens};
pub use revoke_leaked::{Leak, LeakRevocation, Standing};
pub use rotate::{RotateToken, RotatedToken};
pub use selection::{TimeParts, TokenSelection};
pub use update::UpdateToken;

pub(super) use selection::parse_time;

pub use crate::store::tokens::TokenCounts;

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
    caller::{Caller, CallerInTx, Permit},
    error::{Checked, Denied, FieldError, Noun},
};

/// So many tokens, children included, a transaction deletes; one more with all its children at most.
const CHUNK: u32 = 1_000;
/// After a transaction of full size, so that others write in between.
const PAUSE: Duration = Duration::from_millis(120);

/// How many bytes of a token ID are looked at.
const MAX_ID_BYTES: usize = 256;

/// The token ID that a request names. `None`: it cannot be one of ours, which is looked for and answered like one
/// that is not there.
pub(super) fn parse_token_id(text: &str) -> Result<Option<TokenId>, Error> {
    match text.len() {
        0 => Err(FieldError::new("token_id", "is required").into()),
        1..=MAX_ID_BYTES => Ok(TokenId::parse(text)),
        _ => Err(FieldError::new("token_id", "must be at most 256 bytes").into()),
    }
}

/// The token that the caller shows and the one that it was made with.
fn own(caller: &Caller) -> Vec<TokenId> {
    let token = caller.token();
    let ids = token.map(|token| [Some(token.id), token.parent_id]);
    ids.into_iter().flatten().flatten().collect()
}

/// Whether `token_id` names the very token that the caller shows.
fn is_itself(caller: &Caller, token_id: &str) -> bool {
    caller
        .token()
        .is_some_and(|token| token.id.encode().as_str() == token_id)
}

impl App {
    /// A token that was made with a token makes none, and no token does where the server forbids it.
    fn check_generation(&self, caller: &Caller) -> Result<(), Denied> {
        match caller.token() {
            Some(_) if self.options().forbid_token_children => Err(Denied::TokenChildren),
            Some(token) if token.parent_id.is_some() => Err(Denied::Lineage),
            _ => Ok(()),
        }
    }
}

/// What an admin has disabled, or the reuse of a rotated secret, an admin alone lets live again.
fn check_enable(caller: &Caller, token: &Token) -> Result<(), Denied> {
    match token.disabled {
        Some(by) if by.needs_admin() && !caller.acts_as_admin() => Err(Denied::Disabled(by)),
        _ => Ok(()),
    }
}

/// The token `id`, if it is not deleted and the caller may do `action` to it, with all that decides whether it is
/// valid. Any other is answered like one that is not there, after the same work.
pub(super) fn find_target<'a>(
    tx: &Tx<'_>,
    caller: &'a CallerInTx<'_>,
    action: Action,
    id: Option<TokenId>,
) -> Result<(Credential, Permit<'a>), Error> {
    let is_kept = |found: &Credential| found.lineage.token.delete_time.is_none();
    find_among(tx, caller, action, id, is_kept)
}

/// The same, deleted tokens included, until they are purged.
pub(super) fn find_even_deleted<'a>(
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
    // Every refusal has read one token that is there and one that is not, so that time does not tell which of
    // them was asked for.
    let own = caller.token().filter(|_| !is_there);
    tokens::find_credential(tx, own.map_or(TokenId::NONE, |token| token.id))?;
    Err(Error::NotFound(Noun::Token))
}

/// What a token's user is to the caller.
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

/// An expiry, which must be later than `now`.
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
