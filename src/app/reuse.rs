//! A secret that was rotated away and is used all the same: two hands hold it, and nobody knows which is the
//! thief's (RFC 9700 §4.14.2). Where the settings say so, its family is disabled, which an admin can undo, and not
//! ended, since it may be an owner's forgotten script.
//!
//! Only a request's own credential counts. A token that is pasted to be verified, introspected, explained or
//! revoked may come from whoever found it. It happens once to a family: the store knows it of the live members,
//! and a successor is told; the memory of this process only spares later requests the question.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    domain::{audit::AuditEvent, id::TokenId, rotation, time::Timestamp, token::Token},
    store::{audit, tokens},
};

use super::{App, Error, audit::SYSTEM, caller::Origin};

/// How many families are remembered. To fill it takes as many rotated secrets.
const ROOM: usize = 4_096;

/// The families of which a reuse was seen since the start.
#[derive(Debug, Default)]
pub(super) struct Reuse(Mutex<HashSet<TokenId>>);

impl Reuse {
    fn seen(&self) -> MutexGuard<'_, HashSet<TokenId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the first reuse that is seen of the family.
    fn is_first(&self, family: TokenId) -> bool {
        let mut seen = self.seen();
        if seen.len() >= ROOM {
            // Each of them costs one more question.
            seen.clear();
        }
        seen.insert(family)
    }

    /// Nothing came of it: the next one is the first.
    fn forget(&self, family: TokenId) {
        self.seen().remove(&family);
    }
}

impl App {
    /// Looks whether `token`, whose secret was presented from `ip` as the credential of the request from `origin`, was
    /// rotated away. If so, its family is disabled when this returns.
    pub(super) async fn watch_reuse(&self, token: &Token, origin: &Origin, ip: Option<IpAddr>) {
        let now = self.now();
        let is_reuse = self.options().disable_family_on_reuse && rotation::is_reuse(token, now);
        if !is_reuse || !self.0.reuse.is_first(token.family_id) {
            return;
        }
        let (app, family) = (self.clone(), token.family_id);
        let origin = Origin {
            ip,
            ..origin.clone()
        };
        let event = AuditEvent {
            actor: SYSTEM.to_owned(),
            credential_id: token.id.to_string(),
            ..origin.event(now, "token.disable_on_reuse", "")
        };
        // A task of its own: whoever hangs up does not stop it.
        let task = tokio::spawn(async move {
            if let Err(error) = app.disable_family(family, event, now).await {
                app.0.reuse.forget(family);
                tracing::warn!(family.id = %family, %error, "a family with a reused secret could not be disabled");
            }
        });
        // A panic is logged where it happens, and the refusal of the token does not hang on it.
        drop(task.await);
    }

    async fn disable_family(
        &self,
        family: TokenId,
        event: AuditEvent,
        now: Timestamp,
    ) -> Result<(), Error> {
        let disabled = self
            .revoke(move |tx| {
                let disabled = tokens::disable_family(tx, family, now)?;
                for id in &disabled {
                    let target = id.to_string();
                    audit::append(
                        tx,
                        AuditEvent {
                            target,
                            ..event.clone()
                        },
                    )?;
                }
                Ok(disabled)
            })
            .await?;
        if !disabled.is_empty() {
            tracing::warn!(family.id = %family, "a rotated secret was used, and its family is disabled");
        }
        Ok(())
    }
}
