//! Undoes a rotation whose new secret was lost before anyone used it.
//!
//! Nobody gains anything by it: no secret is shown, and the token is again what it was.

use std::time::Duration;

use crate::{
    domain::{id::TokenId, reason::Reason, time::Timestamp, token::Token},
    store::{Tx, audit, tokens},
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::Caller,
        error::Noun,
        permit::Permit,
    },
    check_enable,
    delete::revoke_with_children,
    find_target, parse_token_id,
};

/// How long after a rotation its caller may undo it even though the grace period is over. A rotation without a grace
/// period ends the old secret at once, and the command may then find that it cannot show the new one.
const UNDO_WINDOW: Duration = Duration::from_mins(1);

/// How many of the family's newest tokens to search for the predecessor. It is among them, because each token has one
/// successor.
const MAX_SEARCHED: u32 = 100;

impl App {
    /// Revokes tokens that have ended by rotation, and that somebody has named to be revoked: none of them comes back by
    /// undoing the rotation.
    pub(super) async fn end_for_good(
        &self,
        caller: &Caller,
        action: Action,
        tokens: Vec<TokenId>,
    ) -> Result<(), Error> {
        if tokens.is_empty() {
            return Ok(());
        }
        let (caller, now) = (caller.clone(), self.now());
        self.revoke(move |tx| {
            let caller = caller.refresh(tx, now)?;
            let permit = caller.may(action, Relation::OtherPerson)?;
            for id in &tokens {
                revoke_with_children(tx, &permit, *id, now)?;
            }
            Ok(())
        })
        .await
    }

    /// Revokes the successor `token_id` and restores the token that it replaced.
    pub async fn undo_rotation(&self, caller: &Caller, token_id: &str) -> Result<Token, Error> {
        authz::admit(caller, Action::RotateToken)?;
        let id = parse_token_id(token_id)?;
        let (app, caller, now) = (self.clone(), caller.clone(), self.now());
        self.write(move |tx| {
            let caller = caller.refresh(tx, now)?;
            let (found, permit) = find_target(tx, &caller, Action::RotateToken, id)?;
            let successor = found.lineage.token;
            let predecessor = predecessor(tx, &successor)?;
            let is_used =
                successor.last_use.is_some() || app.0.shared.last_uses.is_noted(successor.id);
            if is_used || !successor.is_live(now) || successor.successor_id.is_some() {
                return Err(too_late("the new token was used, rotated or ended already"));
            }
            // Otherwise, undoing would get around an admin who disabled the successor.
            check_enable(&caller, &successor)?;
            if predecessor.delete_time.is_some() {
                return Err(too_late("the old token is revoked"));
            }
            if !predecessor.is_live(now) && !may_undo_late(tx, &caller, &successor, now)? {
                return Err(too_late("the grace period of the old token is over"));
            }
            undo(tx, &permit, &successor, predecessor.id, now)
        })
        .await
    }
}

/// Whether `token` has ended by a rotation that may still be undone, so that it could be valid again.
pub(super) fn may_return(token: &Token, now: Timestamp) -> bool {
    let ended = token.expire_time.filter(|_| !token.is_live(now));
    let is_recent = ended.is_some_and(|end| now < end.plus(UNDO_WINDOW));
    is_recent && token.successor_id.is_some() && token.delete_time.is_none()
}

/// Whether the caller has just created `successor` by rotation.
fn may_undo_late(
    tx: &Tx<'_>,
    caller: &Caller,
    successor: &Token,
    now: Timestamp,
) -> Result<bool, Error> {
    let rotation = audit::find_rotation(tx, successor.id)?;
    let is_maker = rotation.is_some_and(|row| row.actor == caller.actor());
    Ok(is_maker && now < successor.create_time.plus(UNDO_WINDOW))
}

fn predecessor(tx: &Tx<'_>, successor: &Token) -> Result<Token, Error> {
    let family = tokens::list_family(tx, successor.family_id, MAX_SEARCHED)?;
    let mut family = family.into_iter();
    family
        .find(|token| token.successor_id == Some(successor.id))
        .ok_or_else(|| too_late("the token does not replace another"))
}

fn undo(
    tx: &Tx<'_>,
    permit: &Permit<'_>,
    successor: &Token,
    predecessor: TokenId,
    now: Timestamp,
) -> Result<Token, Error> {
    tokens::move_live_children(tx, successor.id, predecessor, now)?;
    tokens::mark_revoked(tx, successor.id, now)?;
    if !tokens::undo_rotation(tx, predecessor, successor.id)? {
        return Err(Error::NotFound(Noun::Token));
    }
    let mut event = permit.event_called("token.undo_rotation", now, predecessor);
    event.successor_id = successor.id.to_string();
    audit::append(tx, event)?;
    tokens::find(tx, predecessor)?.ok_or(Error::NotFound(Noun::Token))
}

fn too_late(why: &str) -> Error {
    Error::Precondition {
        reason: Reason::RotationFinal,
        problem: format!("the rotation cannot be undone: {why}"),
    }
}
