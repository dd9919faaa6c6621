//! Reuse detection: a secret that is used after it was rotated away may be stolen, and the server cannot tell the
//! thief from the owner (RFC 9700 §4.14.2). If the settings say so, the whole family is disabled. It is not revoked,
//! because the user may be an owner's forgotten script, and an admin can enable it again.
//!
//! Only the credential of a request counts. A token that somebody pasted to verify, introspect, explain or revoke it
//! may have been found anywhere. A family is disabled once only: the store marks the live members, and a successor
//! inherits the mark. The set in memory merely saves later requests a write.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    domain::{audit::AuditEvent, id::TokenId, rotation, time::Timestamp, token::Token},
    store::{audit, tokens},
};

use super::{App, Error, audit::SYSTEM_ACTOR, caller::ClientInfo};

/// Maximum number of families remembered. Filling it takes a rotated secret of each.
const MAX_FAMILIES: usize = 4_096;

/// The families with a reuse since the start.
#[derive(Debug, Default)]
pub(super) struct ReuseDetector(Mutex<HashSet<TokenId>>);

impl ReuseDetector {
    fn seen(&self) -> MutexGuard<'_, HashSet<TokenId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the first reuse in that family.
    fn is_first(&self, family: TokenId) -> bool {
        let mut seen = self.seen();
        if seen.len() >= MAX_FAMILIES {
            // Costs each of these families one more write.
            seen.clear();
        }
        seen.insert(family)
    }

    /// Disabling the family failed, so the next reuse tries again.
    fn forget(&self, family: TokenId) {
        self.seen().remove(&family);
    }
}

impl App {
    /// Checks whether `token`, which was presented from `ip` as a request's credential, was rotated away. If so and the
    /// settings demand it, its family is disabled by the time this returns.
    pub(super) async fn watch_reuse(&self, token: &Token, client: &ClientInfo, ip: Option<IpAddr>) {
        let now = self.now();
        let is_reuse = self.options().disable_family_on_reuse && rotation::is_reuse(token, now);
        if !is_reuse || !self.0.reuse.is_first(token.family_id) {
            return;
        }
        let (app, family) = (self.clone(), token.family_id);
        let client = ClientInfo {
            ip,
            ..client.clone()
        };
        let event = AuditEvent {
            actor: SYSTEM_ACTOR.to_owned(),
            credential_id: token.id.to_string(),
            ..client.event(now, "token.disable_on_reuse", "")
        };
        // In its own task, so that a client cannot stop it by hanging up.
        let task = tokio::spawn(async move {
            if let Err(error) = app.disable_family(family, event, now).await {
                app.0.reuse.forget(family);
                tracing::warn!(family.id = %family, %error, "cannot disable a family with a reused secret");
            }
        });
        // A panic is logged by the hook, and the token is refused either way.
        drop(task.await);
    }

    async fn disable_family(
        &self,
        family: TokenId,
        event: AuditEvent,
        now: Timestamp,
    ) -> Result<(), Error> {
        let disabled = self
            .revoke_part(move |tx| {
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
