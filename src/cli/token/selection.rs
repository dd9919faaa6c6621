//! The flags that select tokens, for listing and revoking.

use clap::{Args, ValueEnum};

use crate::{
    domain::{id::TokenId, time::Timestamp},
    proto::hallpass::v1::{TokenFilter, TokenState},
};

use super::{
    super::{client::Session, failure::Failure, relative_time::to_proto, time_arg::TimeArg},
    token_id,
};

/// Selects the tokens that meet all conditions.
#[derive(Args, Debug)]
#[command(next_help_heading = "Which tokens")]
pub(in crate::cli) struct SelectionArgs {
    /// Tokens of this user: a name or an ID. Tokens of a person's machines are not included.
    #[arg(long = "user", value_name = "USER")]
    of_user: Option<String>,
    /// Tokens of this family: the ID of its first token.
    #[arg(long, value_name = "TOKEN_ID", value_parser = token_id)]
    family: Option<TokenId>,
    /// Tokens created with this one.
    #[arg(long, value_name = "TOKEN_ID", value_parser = token_id)]
    parent: Option<TokenId>,
    /// Tokens created at this time or later: how long ago, such as 90d, a day such as 2027-01-01 (from 00:00 UTC), or a
    /// time such as 2027-01-01T08:00:00+01:00.
    #[arg(long, value_name = "WHEN")]
    created_after: Option<TimeArg>,
    /// Tokens created before this time.
    #[arg(long, value_name = "WHEN")]
    created_before: Option<TimeArg>,
    /// Tokens created before this time and not used since. A use may take a minute to be recorded.
    #[arg(long, value_name = "WHEN")]
    unused_since: Option<TimeArg>,
    /// Tokens with this scope.
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// Tokens that expire before this time: a duration from now, a day or a time.
    #[arg(long, value_name = "WHEN")]
    expires_before: Option<TimeArg>,
    /// Tokens that never expire.
    #[arg(long)]
    never_expires: bool,
    /// Tokens in this state.
    #[arg(long, value_enum)]
    state: Option<StateArg>,
}

/// A state of a token.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    /// Neither expired nor disabled.
    #[value(alias = "live")]
    Active,
    /// Disabled, and not expired.
    Disabled,
    /// Expired, and not purged yet.
    Expired,
}

impl From<StateArg> for TokenState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Active => Self::Live,
            StateArg::Disabled => Self::Disabled,
            StateArg::Expired => Self::Expired,
        }
    }
}

impl SelectionArgs {
    /// The filter without the user, whose ID the server must look up.
    fn without_user(&self, now: Timestamp) -> TokenFilter {
        let id = |id: Option<TokenId>| id.map(|id| id.to_string()).unwrap_or_default();
        let before = |arg: Option<TimeArg>| arg.map(|arg| to_proto(arg.before(now)));
        let ahead = |arg: Option<TimeArg>| arg.map(|arg| to_proto(arg.ahead_of(now)));
        TokenFilter {
            user_id: String::new(),
            family_id: id(self.family),
            parent_id: id(self.parent),
            create_time_from: before(self.created_after),
            create_time_before: before(self.created_before),
            unused_since: before(self.unused_since),
            scope: self.scope.clone().unwrap_or_default(),
            expire_time_before: ahead(self.expires_before),
            expiring_before: None,
            never_expires: self.never_expires,
            state: self.state.map_or(0, |state| TokenState::from(state).into()),
        }
    }

    /// Whether the flags select enough to revoke by, which a state alone does not.
    pub(super) fn is_enough_to_revoke(&self, now: Timestamp) -> bool {
        let without_state = TokenFilter {
            state: TokenState::Unspecified.into(),
            ..self.without_user(now)
        };
        self.of_user.is_some() || without_state != TokenFilter::default()
    }

    /// Whether any flag but the user is given.
    pub(super) fn is_given_beside_user(&self, now: Timestamp) -> bool {
        self.without_user(now) != TokenFilter::default()
    }

    /// The user's name or ID.
    pub(super) fn user(&self) -> Option<&str> {
        self.of_user.as_deref()
    }

    /// The filter, with durations counted from `now`.
    pub(super) async fn filter(
        &self,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<TokenFilter, Failure> {
        let mut filter = self.without_user(now);
        if let Some(name) = &self.of_user {
            filter.user_id = session.look_up_user(name).await?.id;
        }
        Ok(filter)
    }
}
