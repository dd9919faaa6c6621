//! Deleting a token: by one who may, or by whoever holds it.

use crate::{
    domain::{
        audit::AuditEvent,
        id::{TokenId, UserId},
        secret::Secret,
        time::Timestamp,
    },
    store::{Tx, audit, tokens},
};

use super::{
    super::{
        App, Error,
        authz::{self, Action},
        caller::{Caller, Origin, Permit},
        credential::Shown,
    },
    find_even_deleted, is_itself, parse_token_id,
};

impl App {
    /// Deletes a token and its live children, and says how many these were. A repeat by one who may delete
    /// the token changes nothing and is well.
    ///
    /// When this returns, the deletion is durable, and no check that starts later succeeds.
    pub async fn delete_token(&self, caller: &Caller, token_id: &str) -> Result<u32, Error> {
        if !is_itself(caller, token_id) {
            authz::admit(caller, Action::DeleteToken)?;
        }
        let id = parse_token_id(token_id)?;
        let now = self.now();
        let caller = caller.clone();
        self.revoke(move |tx| {
            let caller = caller.refresh(tx, now)?;
            let itself = id.and_then(|id| Some((id, caller.may_delete_itself(id)?)));
            let (id, permit) = if let Some(itself) = itself {
                itself
            } else {
                let (found, permit) = find_even_deleted(tx, &caller, Action::DeleteToken, id)?;
                (found.lineage.token.id, permit)
            };
            let children = delete_with_children(tx, &permit, id, now)?;
            Ok(children.unwrap_or(0))
        })
        .await
    }

    /// Deletes the token that is shown, valid or not, and its live children: whoever holds a secret may end
    /// it. What is no token of ours, or none any more, is well too (RFC 7009 §2.2). Says which it was, and whose,
    /// where it is known.
    ///
    /// When this returns, the deletion is durable, and no check that starts later succeeds.
    pub async fn revoke_shown(
        &self,
        shown: &Secret,
        origin: &Origin,
    ) -> Result<Option<(TokenId, UserId)>, Error> {
        let found = match Shown::parse(shown.expose()) {
            Ok(shown) => self.find_credential(shown).await,
            Err(refusal) => Err(refusal.into()),
        };
        let (id, user_id) = match found {
            Ok(known) => {
                let token = &known.credential.lineage.token;
                (token.id, token.user_id)
            }
            Err(Error::Unauthenticated(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let now = self.now();
        let origin = origin.clone();
        self.revoke(move |tx| {
            delete(tx, id, now, |name| AuditEvent {
                actor: user_id.to_string(),
                credential_kind: "token",
                credential_id: id.to_string(),
                ..origin.event(now, name.unwrap_or(Action::DeleteToken.audit()), id)
            })
        })
        .await?;
        Ok(Some((id, user_id)))
    }
}

/// Deletes a token and its live children, records it, and says how many children these were.
/// `None`: there is no such token, or it is deleted already.
pub(super) fn delete_with_children(
    tx: &Tx<'_>,
    permit: &Permit<'_>,
    id: TokenId,
    now: Timestamp,
) -> Result<Option<u32>, Error> {
    delete(tx, id, now, |name| match name {
        None => permit.event(now, id),
        Some(name) => permit.event_called(name, now, id),
    })
}

/// The same, with `event` making the audit rows: that of the deletion, and others by their names.
fn delete(
    tx: &Tx<'_>,
    id: TokenId,
    now: Timestamp,
    event: impl Fn(Option<&'static str>) -> AuditEvent,
) -> Result<Option<u32>, Error> {
    if !tokens::mark_deleted(tx, id, now)? {
        return Ok(None);
    }
    let children = tokens::delete_live_children(tx, id, now)?;
    audit::append(tx, event(None))?;
    let children = u32::try_from(children).unwrap_or(u32::MAX);
    if children > 0 {
        let mut event = event(Some("token.delete_children"));
        event.count = children;
        audit::append(tx, event)?;
    }
    Ok(Some(children))
}
