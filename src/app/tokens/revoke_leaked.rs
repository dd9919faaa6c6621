//! Revokes leaked tokens, whose plaintexts were found where they should not be.

use std::collections::BTreeSet;

use tokio::time;

use crate::{
    domain::{id::TokenId, presented_token::PresentedToken, time::Timestamp},
    store::{
        Tx, audit,
        tokens::{self, RevokedFamily},
    },
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::Caller,
        error::{Checked, FieldError},
        permit::{CallerInTx, Permit},
    },
    CHUNK, PAUSE, own_and_parent,
    undo_rotation::may_return,
};

/// Maximum number of tokens per call.
const MAX_LEAKED: usize = 500;

/// The state of a leaked token in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The token's public ID.
    pub id: TokenId,
    /// Its state.
    pub status: LeakStatus,
}

/// The states of a leaked token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakStatus {
    /// No token has this ID, or it was purged.
    Unknown,
    /// A token has this ID, but another secret: whoever wrote this text only knows the ID.
    OtherSecret,
    /// The token is revoked or expired.
    Ended {
        /// Whether it was rotated so recently that the rotation could be undone.
        may_return: bool,
    },
    /// The token is live.
    Live {
        /// The ID of its family, which is the ID of the family's first token.
        family_id: TokenId,
    },
}

/// The result of revoking leaked tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakRevocation {
    /// The state of each token before the call, in the order of the request.
    pub leaks: Vec<Leak>,
    /// All revoked tokens: the live ones, the rest of their families, and the tokens created with any of these.
    pub revoked: Vec<TokenId>,
}

impl App {
    /// Looks up the state of leaked tokens, without changing anything.
    async fn look_up_leaked(
        &self,
        caller: &Caller,
        found: Vec<PresentedToken>,
    ) -> Result<Vec<Leak>, Error> {
        let now = self.now();
        let mut leaks = Vec::with_capacity(found.len());
        for chunk in found.chunks(CHUNK as usize) {
            let chunk = chunk.to_vec();
            let work = move |tx: &Tx<'_>, caller: &CallerInTx<'_>| -> Result<Vec<Leak>, Error> {
                caller.may(Action::RevokeLeaked, Relation::OtherPerson)?;
                chunk.iter().map(|token| leak(tx, token, now)).collect()
            };
            leaks.extend(self.read_as(caller, work).await?);
        }
        Ok(leaks)
    }

    /// Revokes the live ones of the leaked tokens with their whole families, because whoever had the secret may have
    /// rotated it. The family of an ended token stays: its leak is over, most likely because the token was rotated for
    /// that reason. A `dry_run` revokes nothing.
    pub async fn revoke_leaked(
        &self,
        caller: &Caller,
        found: Checked<Vec<PresentedToken>>,
        dry_run: bool,
    ) -> Result<LeakRevocation, Error> {
        authz::may(caller, Action::RevokeLeaked, Relation::OtherPerson)?;
        let found = found?;
        if !(1..=MAX_LEAKED).contains(&found.len()) {
            let problem = format!("must be 1 to {MAX_LEAKED}");
            return Err(FieldError::new("tokens", problem).into());
        }
        let leaks = self.look_up_leaked(caller, found).await?;
        if dry_run {
            let revoked = Vec::new();
            return Ok(LeakRevocation { leaks, revoked });
        }
        let returning = leaks.iter().filter_map(|leak| match leak.status {
            LeakStatus::Ended { may_return: true } => Some(leak.id),
            _ => None,
        });
        self.end_for_good(caller, Action::RevokeLeaked, returning.collect())
            .await?;
        let families = leaks.iter().filter_map(|leak| match leak.status {
            LeakStatus::Live { family_id } => Some(family_id),
            _ => None,
        });
        let revoked = self.revoke_families(caller, Action::RevokeLeaked, families.collect(), false);
        let revoked = revoked.await?;
        self.audited().await?;
        let revoked = revoked.ids().copied().collect();
        Ok(LeakRevocation { leaks, revoked })
    }

    /// Revokes whole families with a leaked token, and all tokens created with their members. With `spares_own`, the
    /// caller's own token and its parent are spared. Every report of a leak comes through here and is audited as
    /// `action`.
    ///
    /// A transaction revokes about 1,000 tokens, each with its own audit row. If a later transaction fails, what was
    /// revoked stays revoked, and a repeat does the rest.
    pub(super) async fn revoke_families(
        &self,
        caller: &Caller,
        action: Action,
        families: BTreeSet<TokenId>,
        spares_own: bool,
    ) -> Result<RevokedFamily, Error> {
        let mut rest: Vec<TokenId> = families.into_iter().collect();
        // The caller's own family comes last, because the caller can do nothing once its token is gone.
        let own_family = caller.token().map(|token| token.family_id);
        rest.sort_by_key(|family| Some(*family) == own_family);
        let mut all = RevokedFamily::default();
        while !rest.is_empty() {
            let (now, caller, families) = (self.now(), caller.clone(), rest.clone());
            let (done, revoked) = self
                .revoke_part(move |tx| {
                    let caller = caller.refresh(tx, now)?;
                    let permit = caller.may(action, Relation::OtherPerson)?;
                    let spared = if spares_own {
                        own_and_parent(&caller)
                    } else {
                        Vec::new()
                    };
                    revoke_chunk(tx, &permit, &families, &spared, now)
                })
                .await?;
            rest.drain(..done);
            let is_full = revoked.count() >= CHUNK as usize;
            all.add(revoked);
            if is_full {
                time::sleep(PAUSE).await;
            }
        }
        Ok(all)
    }
}

fn leak(tx: &Tx<'_>, found: &PresentedToken, now: Timestamp) -> Result<Leak, Error> {
    let id = found.id();
    let status = match tokens::find_credential(tx, id)? {
        None => LeakStatus::Unknown,
        Some(credential) if !credential.hash.matches(found.hash()) => LeakStatus::OtherSecret,
        Some(credential) if !credential.lineage.token.is_live(now) => LeakStatus::Ended {
            may_return: may_return(&credential.lineage.token, now),
        },
        Some(credential) => LeakStatus::Live {
            family_id: credential.lineage.token.family_id,
        },
    };
    Ok(Leak { id, status })
}

/// Revokes as much as fits in one transaction. Returns how many families are finished, and the revoked tokens.
fn revoke_chunk(
    tx: &Tx<'_>,
    permit: &Permit<'_>,
    families: &[TokenId],
    spared: &[TokenId],
    now: Timestamp,
) -> Result<(usize, RevokedFamily), Error> {
    let mut revoked = RevokedFamily::default();
    let mut done = 0;
    for family in families {
        let left = CHUNK.saturating_sub(u32::try_from(revoked.count()).unwrap_or(CHUNK));
        let one = tokens::revoke_family(tx, *family, spared, now, left)?;
        for id in one.ids() {
            audit::append(tx, permit.event(now, id))?;
        }
        let full = one.count() >= left as usize;
        revoked.add(one);
        if full {
            break;
        }
        done += 1;
    }
    Ok((done, revoked))
}
