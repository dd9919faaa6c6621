//! Revoking tokens whose plaintexts were found where they should not be.

use std::collections::BTreeSet;

use tokio::time;

use crate::{
    domain::{id::TokenId, presented_token::PresentedToken, time::Timestamp},
    store::{
        Tx, audit,
        tokens::{self, DeletedFamily},
    },
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::{Caller, CallerInTx, Permit},
        error::{Checked, FieldError},
    },
    CHUNK, PAUSE, own,
};

/// How many tokens a call takes.
const MAX_LEAKED: usize = 500;

/// What a found token is to this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The public ID.
    pub id: TokenId,
    /// What it is.
    pub standing: Standing,
}

/// What a found token is to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none with the ID, or it is purged.
    Unknown,
    /// The ID is ours, but with another secret: whoever made this text up knows the ID alone.
    OtherSecret,
    /// It was ours and is deleted or expired.
    Dead,
    /// It is ours and live.
    Live {
        /// The first of its family.
        family_id: TokenId,
    },
}

/// What became of tokens that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakRevocation {
    /// What each was before, in the order of the request.
    pub leaks: Vec<Leak>,
    /// All that were deleted: the live ones, the rest of their families, and what was made with any of them.
    pub revoked: Vec<TokenId>,
}

impl App {
    /// What the found tokens are to this database. Changes nothing.
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

    /// Deletes those of the found tokens that are live, with their whole families: who held the secret may
    /// have rotated it. The family of one that is dead already lives on, since its leak is over: most likely
    /// it was rotated for just that. In a `dry_run` nothing is deleted.
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
        let families = leaks.iter().filter_map(|leak| match leak.standing {
            Standing::Live { family_id } => Some(family_id),
            _ => None,
        });
        let ended = self.end_families(caller, Action::RevokeLeaked, families.collect(), false);
        let ended = ended.await?;
        let revoked = ended.ids().copied().collect();
        Ok(LeakRevocation { leaks, revoked })
    }

    /// Deletes whole families, of which a token has leaked, and all that was made with their members; where
    /// `spares_own` is set, not the caller's own token and the one that this was made with. Every way of reporting
    /// a leak comes here, and is recorded as `action`.
    ///
    /// At most 1,000 tokens a transaction, and one more with all its children, each with its audit row. What was
    /// deleted when a later one fails stays so; a repeat does the rest.
    pub(super) async fn end_families(
        &self,
        caller: &Caller,
        action: Action,
        families: BTreeSet<TokenId>,
        spares_own: bool,
    ) -> Result<DeletedFamily, Error> {
        let mut rest: Vec<TokenId> = families.into_iter().collect();
        // The caller's own at the end: it may do nothing once that is gone.
        let own_family = caller.token().map(|token| token.family_id);
        rest.sort_by_key(|family| Some(*family) == own_family);
        let mut ended = DeletedFamily::default();
        while !rest.is_empty() {
            let (now, caller, families) = (self.now(), caller.clone(), rest.clone());
            let (done, deleted) = self
                .revoke(move |tx| {
                    let caller = caller.refresh(tx, now)?;
                    let permit = caller.may(action, Relation::OtherPerson)?;
                    let spared = if spares_own { own(&caller) } else { Vec::new() };
                    delete_families(tx, &permit, &families, &spared, now)
                })
                .await?;
            rest.drain(..done);
            let is_full = deleted.count() >= CHUNK as usize;
            ended.add(deleted);
            if is_full {
                time::sleep(PAUSE).await;
            }
        }
        Ok(ended)
    }
}

fn leak(tx: &Tx<'_>, found: &PresentedToken, now: Timestamp) -> Result<Leak, Error> {
    let id = found.id();
    let standing = match tokens::find_credential(tx, id)? {
        None => Standing::Unknown,
        Some(credential) if !credential.hash.matches(found.hash()) => Standing::OtherSecret,
        Some(credential) if !credential.lineage.token.is_live(now) => Standing::Dead,
        Some(credential) => Standing::Live {
            family_id: credential.lineage.token.family_id,
        },
    };
    Ok(Leak { id, standing })
}

/// Deletes what fits one transaction: how many of the families are done, and which tokens were deleted.
fn delete_families(
    tx: &Tx<'_>,
    permit: &Permit<'_>,
    families: &[TokenId],
    spared: &[TokenId],
    now: Timestamp,
) -> Result<(usize, DeletedFamily), Error> {
    let mut deleted = DeletedFamily::default();
    let mut done = 0;
    for family in families {
        let room = CHUNK.saturating_sub(u32::try_from(deleted.count()).unwrap_or(CHUNK));
        let one = tokens::delete_family(tx, *family, spared, now, room)?;
        for id in one.ids() {
            audit::append(tx, permit.event(now, id))?;
        }
        let full = one.count() >= room as usize;
        deleted.add(one);
        if full {
            break;
        }
        done += 1;
    }
    Ok((done, deleted))
}
