//! The use cases of tokens.

mod create;
mod delete;
mod list_all;
mod read;
mod revoke;
mod revoke_leaked;
mod rotate;
mod selection;
mod undo_rotation;
mod update;

pub use create::{CreateToken, CreatedToken};
pub use list_all::ListAllTokens;
pub use read::ListTokens;
pub use revoke::{Outcome, Revocation, RevokeTokens};
pub use revoke_leaked::{Leak, LeakRevocation, LeakedToken, Standing};
pub use rotate::{RotateToken, RotatedToken};
pub use selection::{TimeParts, TokenSelection};
pub use update::UpdateToken;

pub use crate::store::tokens::TokenCounts;

use std::time::Duration;

use crate::{
    domain::{
        cidr::CidrSet, id::TokenId, lifetime, note::Note, scope::ScopeSet, time::Timestamp,
        token::Token, user::User,
    },
    store::{
        self, Tx,
        tokens::{self, Credential},
        users,
    },
};

use super::{
    App, Error,
    authz::{self, Action, Relation},
    caller::Caller,
    error::{Checked, Denied, FieldError, Noun},
};

/// So many tokens, children included, a transaction deletes; one more with all its children at most.
const CHUNK: u32 = 1_000;
/// After a transaction of full size, so that others write in between.
const PAUSE: Duration = Duration::from_millis(120);

/// How many bytes of a token ID are looked at.
const MAX_ID_BYTES: usize = 256;

/// The token ID that a request names. `None`: it cannot be one of ours, which is answered like one that is
/// not there.
pub(super) fn parse_token_id(text: &str) -> Result<Option<TokenId>, Error> {
    match text.len() {
        0 => Err(FieldError::new("token_id", "is required").into()),
        1..=MAX_ID_BYTES => Ok(TokenId::parse(text)),
        _ => Err(FieldError::new("token_id", "must be at most 256 bytes").into()),
    }
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

/// The token `id`, also where it is deleted, if the caller may do `action` to it. One that it may not is
/// answered like one that is not there.
pub(super) fn find_target(
    tx: &Tx<'_>,
    caller: &Caller,
    action: Action,
    id: TokenId,
) -> Result<(Token, Relation), Error> {
    let token = tokens::find(tx, id)?.ok_or(Error::NotFound(Noun::Token))?;
    let relation = relate(caller, action, &token, || users::find(tx, token.user_id))?;
    Ok((token, relation))
}

/// The same, with all that decides whether the token is valid.
pub(super) fn find_target_credential(
    tx: &Tx<'_>,
    caller: &Caller,
    action: Action,
    id: TokenId,
) -> Result<(Credential, Relation), Error> {
    let found = tokens::find_credential(tx, id)?.ok_or(Error::NotFound(Noun::Token))?;
    let user = || Ok(found.user.clone());
    let relation = relate(caller, action, &found.lineage.token, user)?;
    Ok((found, relation))
}

/// What the token's user, whom `user` finds, is to the caller, likewise.
fn relate(
    caller: &Caller,
    action: Action,
    token: &Token,
    user: impl FnOnce() -> Result<Option<User>, store::Error>,
) -> Result<Relation, Error> {
    let relation = if caller.user_id() == Some(token.user_id) {
        Relation::Oneself
    } else {
        Relation::to(caller, token.user_id, user()?.as_ref())
    };
    authz::may(caller, action, relation).map_err(|_| Error::NotFound(Noun::Token))?;
    Ok(relation)
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
