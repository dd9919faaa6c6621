//! Callers inside transactions. Between authentication and the write, a caller's token may be deleted, its user
//! deactivated or its role taken away. So every write checks the caller again in its own transaction, and the
//! compiler enforces it: each change has an audit row, only a [`Permit`] makes one, and only a [`CallerInTx`] gives
//! a permit.

use std::{marker::PhantomData, ops::Deref, sync::Arc};

use crate::{
    domain::{audit::AuditEvent, id::TokenId, time::Timestamp},
    store::{Db, Tx, tokens, users},
};

use super::{
    Error,
    authz::{self, Action, Relation},
    caller::{Caller, Proof},
    credential_cache::CachedCredential,
    error::{Denied, Unauthenticated},
    passwords::PasswordHash,
};

/// A caller that was checked in a transaction, which it cannot outlive.
#[derive(Debug)]
pub(super) struct CallerInTx<'t> {
    caller: Caller,
    transaction: PhantomData<&'t ()>,
}

impl Deref for CallerInTx<'_> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Caller {
    /// Checks the caller again in `tx`. A credential that nothing has changed is not read again.
    ///
    /// # Errors
    /// The credential is no longer valid, or the store failed.
    pub(super) fn refresh<'t>(
        &self,
        tx: &'t Tx<'_>,
        now: Timestamp,
    ) -> Result<CallerInTx<'t>, Error> {
        let client = Arc::clone(&self.client);
        let caller = match &self.proof {
            Proof::Local { .. } => self.clone(),
            Proof::Password { user, hash } => {
                let found = users::find_sign_in(tx, &user.username)?;
                let is_same = |stored: Option<String>| {
                    stored.map(PasswordHash::from_row).as_ref() == Some(hash)
                };
                let user = found.and_then(|(found, stored)| {
                    let is_good = found.id == user.id && !found.deactivated && is_same(stored);
                    is_good.then_some(found)
                });
                let user = user.ok_or(Unauthenticated::WrongPassword)?;
                Self::by_password(user, hash.clone(), client)
            }
            Proof::Token(known) if tx.still_decides(known.stamp, &known.credential.lineage) => {
                // The token may have expired since.
                Self::by_token(known.clone(), now, client)?
            }
            Proof::Token(known) => {
                let id = known.credential.lineage.token.id;
                let found = tokens::find_credential(tx, id)?;
                let known = CachedCredential {
                    // The stamp of the earlier read is the safe one outside this transaction: at worst, it makes the
                    // credential look stale too early.
                    stamp: known.stamp,
                    credential: Arc::new(found.ok_or(Unauthenticated::WrongToken)?),
                };
                Self::by_token(known, now, client)?
            }
        };
        Ok(CallerInTx {
            caller,
            transaction: PhantomData,
        })
    }

    /// Checks the caller again if that needs no read; `None` if it does.
    pub(super) fn unchanged(
        &self,
        db: &Db,
        now: Timestamp,
    ) -> Result<Option<Self>, Unauthenticated> {
        match &self.proof {
            Proof::Local { .. } => Ok(Some(self.clone())),
            Proof::Token(known) if db.still_decides(known.stamp, &known.credential.lineage) => {
                // The token may have expired since.
                let client = Arc::clone(&self.client);
                Self::by_token(known.clone(), now, client).map(Some)
            }
            Proof::Token(_) | Proof::Password { .. } => Ok(None),
        }
    }
}

impl CallerInTx<'_> {
    /// Whether the caller may do `action` to a target with this relation to it.
    ///
    /// # Errors
    /// The caller's scopes or role do not allow it.
    pub(super) fn may(&self, action: Action, relation: Relation) -> Result<Permit<'_>, Denied> {
        authz::may(self, action, relation)?;
        Ok(Permit {
            caller: self,
            action,
            relation,
        })
    }

    /// The permit to revoke the token `id` if the caller presented that very token; this needs no scope.
    pub(super) fn may_revoke_itself(&self, id: TokenId) -> Option<Permit<'_>> {
        let is_itself = self.token().is_some_and(|token| token.id == id);
        is_itself.then_some(Permit {
            caller: self,
            action: Action::DeleteToken,
            relation: Relation::Oneself,
        })
    }

    /// The permit to revoke a token whose plaintext the caller has, whoever owns it: holding the plaintext is enough.
    pub(super) const fn may_revoke_presented(&self) -> Permit<'_> {
        Permit {
            caller: &self.caller,
            action: Action::DeleteToken,
            relation: Relation::OtherPerson,
        }
    }
}

/// Proof that a caller may do something, checked in the transaction that does it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permit<'a> {
    caller: &'a Caller,
    action: Action,
    relation: Relation,
}

impl Permit<'_> {
    pub(super) const fn relation(&self) -> Relation {
        self.relation
    }

    /// An audit row for what is done to `target` at `now`.
    pub(super) fn event(&self, now: Timestamp, target: impl ToString) -> AuditEvent {
        self.event_called(self.action.audit(), now, target)
    }

    /// The same, counting `others` that were changed along with the target.
    pub(super) fn event_with(
        &self,
        now: Timestamp,
        target: impl ToString,
        others: u64,
    ) -> AuditEvent {
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        AuditEvent {
            count: others.saturating_add(1),
            ..self.event(now, target)
        }
    }

    /// The same, with another action name than the permit's.
    pub(super) fn event_called(
        &self,
        name: &'static str,
        now: Timestamp,
        target: impl ToString,
    ) -> AuditEvent {
        self.caller.event(now, name, target)
    }
}
