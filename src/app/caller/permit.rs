//! Callers within transactions. What was true of a caller when its request came may not be true when the request
//! is done: its token may be deleted meanwhile, its user deactivated, its role taken away. So whoever writes
//! looks at the caller again in the transaction that writes, and the compiler sees to it: each change has an audit
//! row, such a row is made by a [`Permit`] alone, and a permit by a [`CallerInTx`] alone.

use std::{marker::PhantomData, ops::Deref, sync::Arc};

use crate::{
    app::{
        Error,
        authz::{self, Action, Relation},
        credential::Known,
        error::{Denied, Unauthenticated},
        passwords::PasswordHash,
    },
    domain::{audit::AuditEvent, id::TokenId, time::Timestamp},
    store::{Db, Tx, tokens, users},
};

use super::{Caller, Proof};

/// A caller as it is in a transaction, which it does not outlive.
#[derive(Debug)]
pub(in crate::app) struct CallerInTx<'t> {
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
    /// The caller as it is in `tx`.
    ///
    /// # Errors
    /// The credential is no longer valid, or the store failed.
    pub(in crate::app) fn refresh<'t>(
        &self,
        tx: &'t Tx<'_>,
        now: Timestamp,
    ) -> Result<CallerInTx<'t>, Error> {
        let origin = Arc::clone(&self.origin);
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
                Self::by_password(user, hash.clone(), origin)
            }
            Proof::Token(known) => {
                let id = known.credential.lineage.token.id;
                let found = tokens::find_credential(tx, id)?;
                let known = Known {
                    // That of the earlier read: outside of this transaction, it is what may be stale.
                    stamp: known.stamp,
                    credential: Arc::new(found.ok_or(Unauthenticated::WrongToken)?),
                };
                Self::by_token(known, now, origin)?
            }
        };
        Ok(CallerInTx {
            caller,
            transaction: PhantomData,
        })
    }

    /// The same in a transaction that reads, and sees what is committed: nothing is read anew of a credential
    /// that no commit has changed.
    pub(in crate::app) fn refresh_to_read<'t>(
        &self,
        tx: &'t Tx<'_>,
        db: &Db,
        now: Timestamp,
    ) -> Result<CallerInTx<'t>, Error> {
        match self.unchanged(db, now) {
            None => self.refresh(tx, now),
            Some(caller) => Ok(CallerInTx {
                caller: caller?,
                transaction: PhantomData,
            }),
        }
    }

    /// The caller as it is now, where that can be told without a read.
    pub(in crate::app) fn unchanged(
        &self,
        db: &Db,
        now: Timestamp,
    ) -> Option<Result<Self, Unauthenticated>> {
        match &self.proof {
            Proof::Local { .. } => Some(Ok(self.clone())),
            Proof::Token(known) if db.still_decides(known.stamp, &known.credential.lineage) => {
                // Time has passed all the same.
                let origin = Arc::clone(&self.origin);
                Some(Self::by_token(known.clone(), now, origin))
            }
            Proof::Token(_) | Proof::Password { .. } => None,
        }
    }
}

impl CallerInTx<'_> {
    /// Whether the caller may do `action` to a target that is `relation` to it.
    ///
    /// # Errors
    /// Why it may not.
    pub(in crate::app) fn may(
        &self,
        action: Action,
        relation: Relation,
    ) -> Result<Permit<'_>, Denied> {
        authz::may(self, action, relation)?;
        Ok(Permit {
            caller: self,
            action,
            relation,
        })
    }

    /// To delete the token `id`, where that is the very token that the caller shows: this needs no scope.
    pub(in crate::app) fn may_delete_itself(&self, id: TokenId) -> Option<Permit<'_>> {
        let is_itself = self.token().is_some_and(|token| token.id == id);
        is_itself.then_some(Permit {
            caller: self,
            action: Action::DeleteToken,
            relation: Relation::Oneself,
        })
    }

    /// To delete a token whose plaintext the caller presented, whosever it is: that is authority enough.
    pub(in crate::app) const fn may_delete_presented(&self) -> Permit<'_> {
        Permit {
            caller: &self.caller,
            action: Action::DeleteToken,
            relation: Relation::OtherPerson,
        }
    }
}

/// That a caller may do something, as things are in the transaction that does it.
#[derive(Clone, Copy, Debug)]
pub(in crate::app) struct Permit<'a> {
    caller: &'a Caller,
    action: Action,
    relation: Relation,
}

impl Permit<'_> {
    /// What the target is to the caller.
    pub(in crate::app) const fn relation(&self) -> Relation {
        self.relation
    }

    /// The audit row for what is done to `target` at `now`.
    pub(in crate::app) fn event(&self, now: Timestamp, target: impl ToString) -> AuditEvent {
        self.event_called(self.action.audit(), now, target)
    }

    /// The same, where `others` went with the target.
    pub(in crate::app) fn event_with(
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

    /// The same, where the audit log has another name for what is done.
    pub(in crate::app) fn event_called(
        &self,
        name: &'static str,
        now: Timestamp,
        target: impl ToString,
    ) -> AuditEvent {
        self.caller.event(now, name, target)
    }
}
