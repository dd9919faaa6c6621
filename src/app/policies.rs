//! The policies of the last server, stored in the database so that embedded instances obey them, too.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    domain::{lifetime::LifetimePolicy, token_text::TokenPrefix},
    store::{Db, audit, meta},
};

use super::{App, AppOptions, Error, audit::system_event, passwords::HasherOptions};

/// The stored JSON. A field that an older server did not write gets its default.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    token_prefix: String,
    people: Lifetimes,
    machines: Lifetimes,
    forbid_token_children: bool,
    // Left out when off, so that the policies which an older server wrote do not count as changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_family_on_reuse: bool,
    max_tokens_per_user: u32,
    argon2_memory_kib: u32,
    argon2_passes: u32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Lifetimes {
    max_ttl: Option<Duration>,
    default_ttl: Option<Duration>,
    must_expire: bool,
}

impl Default for Stored {
    fn default() -> Self {
        Self::from(&AppOptions::default())
    }
}

impl From<&AppOptions> for Stored {
    fn from(options: &AppOptions) -> Self {
        Self {
            token_prefix: options.token_prefix.as_str().to_owned(),
            people: options.people.into(),
            machines: options.machines.into(),
            forbid_token_children: options.forbid_token_children,
            disable_family_on_reuse: options.disable_family_on_reuse,
            max_tokens_per_user: options.max_tokens_per_user,
            argon2_memory_kib: options.passwords.memory_kib,
            argon2_passes: options.passwords.passes,
        }
    }
}

impl From<LifetimePolicy> for Lifetimes {
    fn from(policy: LifetimePolicy) -> Self {
        Self {
            max_ttl: policy.max_ttl,
            default_ttl: policy.default_ttl,
            must_expire: policy.must_expire,
        }
    }
}

impl From<Lifetimes> for LifetimePolicy {
    fn from(stored: Lifetimes) -> Self {
        Self {
            max_ttl: stored.max_ttl,
            default_ttl: stored.default_ttl,
            must_expire: stored.must_expire,
        }
    }
}

/// The policies that the last server stored; `None` if no server has stored any.
///
/// # Errors
/// The stored policies cannot be read. Going on without them could create tokens that they forbid.
pub(super) async fn stored(db: &Db) -> Result<Option<AppOptions>, Error> {
    let Some(text) = db.read(|tx| Ok::<_, Error>(meta::policies(tx)?)).await? else {
        return Ok(None);
    };
    let stored: Stored =
        serde_json::from_slice(&text).map_err(|error| Error::Internal(Box::new(error)))?;
    let token_prefix = TokenPrefix::parse(&stored.token_prefix)
        .map_err(|error| Error::Internal(Box::new(error)))?;
    Ok(Some(AppOptions {
        token_prefix,
        people: stored.people.into(),
        machines: stored.machines.into(),
        forbid_token_children: stored.forbid_token_children,
        disable_family_on_reuse: stored.disable_family_on_reuse,
        max_tokens_per_user: stored.max_tokens_per_user,
        passwords: HasherOptions {
            memory_kib: stored.argon2_memory_kib,
            passes: stored.argon2_passes,
            ..HasherOptions::default()
        },
        ..AppOptions::default()
    }))
}

impl App {
    /// Stores the policies that this server was started with. A change is audited.
    pub async fn store_policies(&self) -> Result<(), Error> {
        let text = serde_json::to_vec(&Stored::from(self.options()))
            .map_err(|error| Error::Internal(Box::new(error)))?;
        let (now, known) = (self.now(), text.clone());
        let before = self.read(|tx| Ok::<_, Error>(meta::policies(tx)?)).await?;
        if before.as_ref() == Some(&known) {
            return Ok(());
        }
        let change = before.map(|_| system_event(now, "policies.set", ""));
        self.write_unanswered(move |tx| {
            meta::set_policies(tx, &text)?;
            if let Some(event) = &change {
                audit::append(tx, event.clone())?;
            }
            Ok(())
        })
        .await
    }
}
