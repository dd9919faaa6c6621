//! The settings of what tokens may be: how long they live, whether they make tokens, how often they are used.

use std::{num::NonZero, time::Duration};

use clap::{Args, builder::BoolishValueParser};

use super::{contradiction::Contradiction, number::number, values};
use crate::{app::AppOptions, domain::lifetime::LifetimePolicy};

/// How long new tokens live.
#[derive(Args, Debug)]
#[command(next_help_heading = "Tokens")]
pub struct LifetimeArgs {
    /// The longest life of a new token, such as 90d. Not set: no limit, and tokens may never expire.
    #[arg(
        long,
        env = "HALLPASS_MAX_TOKEN_TTL",
        hide_env_values = true,
        value_name = "DURATION",
        value_parser = values::duration
    )]
    pub max_token_ttl: Option<Duration>,

    /// Likewise of a new token of a person; the shorter limit counts.
    #[arg(
        long,
        env = "HALLPASS_MAX_PERSON_TOKEN_TTL",
        hide_env_values = true,
        value_name = "DURATION",
        value_parser = values::duration
    )]
    pub max_person_token_ttl: Option<Duration>,

    /// Likewise of a new token of a machine; the shorter limit counts.
    #[arg(
        long,
        env = "HALLPASS_MAX_MACHINE_TOKEN_TTL",
        hide_env_values = true,
        value_name = "DURATION",
        value_parser = values::duration
    )]
    pub max_machine_token_ttl: Option<Duration>,

    /// The life of a new token of a person for which no expiry is asked. Not set: it never expires.
    #[arg(
        long,
        env = "HALLPASS_DEFAULT_PERSON_TOKEN_TTL",
        hide_env_values = true,
        value_name = "DURATION",
        value_parser = values::duration
    )]
    pub default_person_token_ttl: Option<Duration>,

    /// The life of a new token of a machine for which no expiry is asked. Not set: it never expires.
    #[arg(
        long,
        env = "HALLPASS_DEFAULT_MACHINE_TOKEN_TTL",
        hide_env_values = true,
        value_name = "DURATION",
        value_parser = values::duration
    )]
    pub default_machine_token_ttl: Option<Duration>,

    /// Refuse new tokens that never expire. A maximum does so, too.
    #[arg(
        long,
        env = "HALLPASS_FORBID_NEVER_EXPIRING",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub forbid_never_expiring: bool,
}

impl LifetimeArgs {
    /// Writes these settings into `options`.
    ///
    /// # Errors
    /// A default is longer than its maximum, so that no token could be made by it.
    pub fn apply(&self, options: &mut AppOptions) -> Result<(), Contradiction> {
        let policy = |max_ttl: Option<Duration>, default_ttl| LifetimePolicy {
            max_ttl: max_ttl.into_iter().chain(self.max_token_ttl).min(),
            default_ttl,
            must_expire: self.forbid_never_expiring,
        };
        let people = policy(self.max_person_token_ttl, self.default_person_token_ttl);
        let machines = policy(self.max_machine_token_ttl, self.default_machine_token_ttl);
        check("person", people)?;
        check("machine", machines)?;
        options.people = people;
        options.machines = machines;
        Ok(())
    }
}

fn check(kind: &'static str, policy: LifetimePolicy) -> Result<(), Contradiction> {
    match (policy.default_ttl, policy.max_ttl) {
        (Some(default), Some(max)) if default > max => Err(Contradiction::Lifetime { kind, max }),
        _ => Ok(()),
    }
}

/// What tokens may be used for, and how often.
#[derive(Args, Debug)]
#[command(next_help_heading = "Tokens")]
pub struct UseArgs {
    /// Refuse to make tokens with a token: only those who sign in with a password make them.
    #[arg(
        long,
        env = "HALLPASS_FORBID_TOKEN_CHILDREN",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub forbid_token_children: bool,

    /// Disable a token and all of its family where a secret that was rotated away is used as a request's own
    /// credential, more than 60 s after its grace: two hands hold it. Only an admin enables it then.
    #[arg(
        long,
        env = "HALLPASS_DISABLE_FAMILY_ON_REUSE",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub disable_family_on_reuse: bool,

    /// How often a token may be verified: so many times at once, and as many a minute; 1 to 60000. Not set:
    /// no limit.
    #[arg(
        long,
        env = "HALLPASS_TOKEN_REQUESTS_PER_MINUTE",
        hide_env_values = true,
        value_name = "NUMBER",
        value_parser = number(1..=60_000_u32)
    )]
    pub token_requests_per_minute: Option<u32>,
}

impl UseArgs {
    /// Writes these settings into `options`.
    pub fn apply(&self, options: &mut AppOptions) {
        options.forbid_token_children = self.forbid_token_children;
        options.disable_family_on_reuse = self.disable_family_on_reuse;
        options.token_requests_per_minute = self.token_requests_per_minute.and_then(NonZero::new);
    }
}
