//! Revokes one token, for a caller who may or for whoever has its plaintext.

use crate::{
    domain::{
        audit::AuditEvent,
        id::{TokenId, UserId},
        presented_token::PresentedToken,
        time::Timestamp,
    },
    store::{Tx, audit, tokens},
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::{Caller, ClientInfo},
        permit::{CallerInTx, Permit},
    },
    find_even_revoked, is_itself, parse_token_id,
};

impl App {
    /// Revokes a token and its live children, and returns the number of children. Returns `None` if it was revoked
    /// already, which is not an error for a caller who may revoke it.
    ///
    /// When this returns, the revocation is durable, and no check that starts later succeeds.
    pub async fn delete_token(
        &self,
        caller: &Caller,
        token_id: &str,
    ) -> Result<Option<u32>, Error> {
        if !is_itself(caller, token_id) {
            authz::admit(caller, Action::DeleteToken)?;
        }
        let id = parse_token_id(token_id)?;
        let now = self.now();
        let caller = caller.clone();
        self.revoke(move |tx| {
            let caller = caller.refresh(tx, now)?;
            let itself = id.and_then(|id| Some((id, caller.may_revoke_itself(id)?)));
            let (id, permit) = if let Some(itself) = itself {
                itself
            } else {
                let (found, permit) = find_even_revoked(tx, &caller, Action::DeleteToken, id)?;
                (found.lineage.token.id, permit)
            };
            revoke_with_children(tx, &permit, id, now)
        })
        .await
    }

    /// Revokes a presented token, valid or not, and its live children: whoever has the plaintext may revoke it. If the
    /// `caller` acts as an admin, it counts as the report of a leak, and the token's whole family is revoked, unless it
    /// is the caller's own token. An unknown or already revoked token is not an error (RFC 7009 §2.2). Returns the IDs
    /// of the token and its user, if the token is known.
    ///
    /// When this returns, the revocation is durable, and no check that starts later succeeds.
    pub async fn revoke_presented(
        &self,
        presented: PresentedToken,
        caller: Option<&Caller>,
        client: &ClientInfo,
    ) -> Result<Option<(TokenId, UserId)>, Error> {
        let token = match self.find_credential(presented).await {
            Ok(known) => known.credential.lineage.token.clone(),
            Err(Error::Unauthenticated(_)) => {
                // It may be a repeat.
                self.audited().await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let (id, user_id, now) = (token.id, token.user_id, self.now());
        let reporter = caller.filter(|caller| {
            let itself = caller.token().is_some_and(|own| own.id == id);
            !itself && authz::may(caller, Action::RevokeLeaked, Relation::OtherPerson).is_ok()
        });
        if let Some(reporter) = reporter.filter(|_| token.is_live(now)) {
            let family = [token.family_id].into();
            self.revoke_families(reporter, Action::RevokeLeaked, family, true)
                .await?;
            self.audited().await?;
            return Ok(Some((id, user_id)));
        }
        let (client, caller) = (client.clone(), caller.cloned());
        self.revoke(move |tx| {
            let caller = caller.as_ref().map(|caller| caller.refresh(tx, now));
            let caller = caller.transpose()?;
            let permit = caller.as_ref().map(CallerInTx::may_revoke_presented);
            revoke(tx, id, now, || match &permit {
                Some(permit) => permit.event(now, id),
                None => AuditEvent {
                    actor: user_id.to_string(),
                    credential_kind: "token",
                    credential_id: id.to_string(),
                    ..client.event(now, Action::DeleteToken.audit(), id)
                },
            })
        })
        .await?;
        Ok(Some((id, user_id)))
    }
}

/// Revokes a token and its live children with an audit row, and returns the number of children; `None` if the token
/// does not exist or was revoked already.
pub(super) fn revoke_with_children(
    tx: &Tx<'_>,
    permit: &Permit<'_>,
    id: TokenId,
    now: Timestamp,
) -> Result<Option<u32>, Error> {
    revoke(tx, id, now, || permit.event(now, id))
}

/// The same, with the audit row made by `event`; the count is filled in here.
fn revoke(
    tx: &Tx<'_>,
    id: TokenId,
    now: Timestamp,
    event: impl Fn() -> AuditEvent,
) -> Result<Option<u32>, Error> {
    if !tokens::mark_revoked(tx, id, now)? {
        return Ok(None);
    }
    let children = tokens::revoke_live_children(tx, id, now)?;
    let children = u32::try_from(children).unwrap_or(u32::MAX);
    let mut event = event();
    event.count = children.saturating_add(1);
    audit::append(tx, event)?;
    Ok(Some(children))
}
