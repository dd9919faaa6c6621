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
        caller::{Caller, Origin},
        credential::Shown,
        error::Noun,
    },
    find_target, is_itself, parse_token_id,
};

impl App {
    /// Deletes a token and its live children, and says how many these were. A repeat by one who may delete
    /// the token changes nothing and is well.
    ///
    /// When this returns, the deletion is durable, and no check that starts later succeeds.
    pub async fn delete_token(&self, caller: &Caller, token_id: &str) -> Result<u32, Error> {
        let itself = is_itself(caller, token_id);
        if !itself {
            authz::admit(caller, Action::DeleteToken)?;
        }
        let id = parse_token_id(token_id)?.ok_or(Error::NotFound(Noun::Token))?;
        let now = self.now();
        let caller = caller.clone();
        self.revoke(move |tx| {
            let caller = caller.refresh(tx, now)?;
            if !itself {
                find_target(tx, &caller, Action::DeleteToken, id)?;
            }
            let children = delete_with_children(tx, &caller, Action::DeleteToken, id, now)?;
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
            Ok(credential) => (
                credential.lineage.token.id,
                credential.lineage.token.user_id,
            ),
            Err(Error::Unauthenticated(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let now = self.now();
        let origin = origin.clone();
        self.revoke(move |tx| {
            delete(tx, id, now, Action::DeleteToken, |action| AuditEvent {
                actor: user_id.to_string(),
                credential_id: id.to_string(),
                ..origin.event(now, action, id)
            })
        })
        .await?;
        Ok(Some((id, user_id)))
    }
}

/// Deletes a token and its live children, records it as `action`, and says how many children these were.
/// `None`: there is no such token, or it is deleted already.
pub(super) fn delete_with_children(
    tx: &Tx<'_>,
    caller: &Caller,
    action: Action,
    id: TokenId,
    now: Timestamp,
) -> Result<Option<u32>, Error> {
    delete(tx, id, now, action, |action| caller.event(now, action, id))
}

/// The same, with `event` making the audit rows.
fn delete(
    tx: &Tx<'_>,
    id: TokenId,
    now: Timestamp,
    action: Action,
    event: impl Fn(&'static str) -> AuditEvent,
) -> Result<Option<u32>, Error> {
    if !tokens::mark_deleted(tx, id, now)? {
        return Ok(None);
    }
    let children = tokens::delete_live_children(tx, id, now)?;
    audit::append(tx, event(action.audit()))?;
    let children = u32::try_from(children).unwrap_or(u32::MAX);
    if children > 0 {
        let mut event = event("token.delete_children");
        event.count = children;
        audit::append(tx, event)?;
    }
    Ok(Some(children))
}
