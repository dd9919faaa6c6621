//! Server status: a part for everyone, a part for callers and a part for admins.

use std::num::NonZero;

use crate::{
    domain::lifetime::LifetimePolicy,
    metrics::TokenCounts,
    store::{
        tokens::TokenFilter,
        users::{self, KindFilter, UserFilter},
    },
};

use super::{
    App, Error,
    authz::{self, Action, Relation},
    caller::Caller,
};

/// The current status of the server.
#[derive(Clone, Debug)]
pub struct ServerStatus {
    /// Whether the store answers.
    pub ready: bool,
    /// Whether the disk is full.
    pub disk_full: bool,
    /// Whether the audit sink takes no rows.
    pub audit_sink_fails: bool,
    /// Only for authenticated callers.
    pub policies: Option<Policies>,
    /// Only for admins, and only if the server is ready.
    pub counts: Option<Counts>,
}

/// The operator's limits on tokens.
#[derive(Clone, Debug)]
pub struct Policies {
    /// Prefix of new tokens.
    pub token_prefix: String,
    /// Lifetime limits for the tokens of people.
    pub people: LifetimePolicy,
    /// Lifetime limits for the tokens of machine users.
    pub machines: LifetimePolicy,
    /// Whether creating tokens with a token is forbidden.
    pub token_children_forbidden: bool,
    /// Maximum number of live tokens per user.
    pub max_tokens_per_user: u32,
    /// Maximum number of verifications per token and minute; `None`: no limit.
    pub token_requests_per_minute: Option<NonZero<u32>>,
}

/// Numbers of users and tokens.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// People, deactivated ones included.
    pub people: u64,
    /// Machine users, deactivated ones included.
    pub machines: u64,
    /// Deactivated users of both kinds.
    pub deactivated: u64,
    /// Tokens by state.
    pub tokens: TokenCounts,
}

impl App {
    /// The status of the server, with as much detail as `caller` may see.
    pub async fn server_status(&self, caller: Option<&Caller>) -> Result<ServerStatus, Error> {
        let may = |action, relation| {
            caller.is_some_and(|caller| authz::may(caller, action, relation).is_ok())
        };
        let ready = self.is_ready().await;
        let admin = caller.filter(|_| may(Action::GetServerCounts, Relation::OtherPerson));
        let counts = match admin.filter(|_| ready) {
            Some(admin) => Some(self.counts(admin).await?),
            None => None,
        };
        let policies = may(Action::GetServerStatus, Relation::Oneself).then(|| self.policies());
        Ok(ServerStatus {
            ready,
            disk_full: self.disk_is_full(),
            audit_sink_fails: self.sink_fails(),
            policies,
            counts,
        })
    }

    fn policies(&self) -> Policies {
        let options = self.options();
        Policies {
            token_prefix: options.token_prefix.as_str().to_owned(),
            people: options.people,
            machines: options.machines,
            token_children_forbidden: options.forbid_token_children,
            max_tokens_per_user: options.max_tokens_per_user,
            token_requests_per_minute: options.token_requests_per_minute,
        }
    }

    async fn counts(&self, caller: &Caller) -> Result<Counts, Error> {
        let action = Action::GetServerCounts;
        let (people, machines, deactivated) = self
            .read_as(caller, move |tx, caller| {
                caller.may(action, Relation::OtherPerson)?;
                let count = |kind, deactivated| {
                    let filter = UserFilter {
                        deactivated,
                        kind,
                        ..UserFilter::default()
                    };
                    users::count(tx, &filter)
                };
                Ok::<_, Error>((
                    count(Some(KindFilter::People), None)?,
                    count(Some(KindFilter::Machines), None)?,
                    count(None, Some(true))?,
                ))
            })
            .await?;
        Ok(Counts {
            people,
            machines,
            deactivated,
            tokens: self
                .count_tokens(caller, action, TokenFilter::default())
                .await?,
        })
    }
}
