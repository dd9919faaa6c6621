//! The settings of the use cases: which tokens may be created and how they are used, how passwords are hashed, and how
//! long data is kept.

use std::{
    num::NonZero,
    path::{self, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{SettingsConflict, values};
use crate::{
    app::{AppOptions, bootstrap::BootstrapToken, passwords::HasherOptions},
    domain::{lifetime::LifetimePolicy, token_text::TokenPrefix},
};

/// Long enough to set up a cluster in a day's work, short enough for a token that somebody forgets.
const BOOTSTRAP_TOKEN_TTL: Duration = Duration::from_hours(24);

/// Which tokens may be created, and how they may be used.
#[derive(Args, Debug)]
#[command(next_help_heading = "Tokens")]
pub struct TokenArgs {
    /// The prefix of new tokens: 3 to 16 characters of a-z and 0-9.
    #[arg(long, env, value_name = "PREFIX", default_value = "hallpass")]
    #[arg(value_parser = values::token_prefix)]
    pub token_prefix: TokenPrefix,

    /// The maximum lifetime of a new token, such as 90d. Not set: no limit, and tokens may never expire.
    #[arg(long, env, value_name = "DURATION", value_parser = values::duration)]
    pub max_token_ttl: Option<Duration>,

    /// The maximum lifetime of a person's new token. The shorter limit applies.
    #[arg(long, env, value_name = "DURATION", value_parser = values::duration)]
    pub max_person_token_ttl: Option<Duration>,

    /// The maximum lifetime of a machine's new token. The shorter limit applies.
    #[arg(long, env, value_name = "DURATION", value_parser = values::duration)]
    pub max_machine_token_ttl: Option<Duration>,

    /// The lifetime of a person's new token that is requested without one. Not set: it never expires.
    #[arg(long, env, value_name = "DURATION", value_parser = values::duration)]
    pub default_person_token_ttl: Option<Duration>,

    /// The lifetime of a machine's new token that is requested without one. Not set: it never expires.
    #[arg(long, env, value_name = "DURATION", value_parser = values::duration)]
    pub default_machine_token_ttl: Option<Duration>,

    /// Refuse new tokens that never expire. A maximum lifetime implies it.
    #[arg(long, env)]
    pub forbid_never_expiring: bool,

    /// The maximum number of live tokens of a user, and of live tokens that were created with one token.
    #[arg(long, env, value_name = "NUMBER", default_value = "500")]
    #[arg(value_parser = values::number(1..=u32::MAX))]
    pub max_tokens_per_user: u32,

    /// Refuse to create tokens with a token: only users who sign in with a password create them.
    #[arg(long, env)]
    pub forbid_token_children: bool,

    /// Disable a token and its whole family when a rotated secret authenticates a request more than 60 s after its
    /// grace period: then two parties hold it. Only an admin can enable the tokens again.
    #[arg(long, env)]
    pub disable_family_on_reuse: bool,

    /// How often a token may be verified in a minute, and at once: 1 to 60000. Not set: no limit.
    #[arg(long, env, value_name = "NUMBER", value_parser = values::number(1..=60_000_u32))]
    pub token_requests_per_minute: Option<u32>,
}

impl TokenArgs {
    /// Writes these settings into `options`.
    ///
    /// # Errors
    /// A default lifetime is longer than its maximum, so that no token could be created with it.
    pub fn apply(&self, options: &mut AppOptions) -> Result<(), SettingsConflict> {
        let policy = |setting, max_ttl: Option<Duration>, default_ttl| {
            let max_ttl = max_ttl.into_iter().chain(self.max_token_ttl).min();
            match (default_ttl, max_ttl) {
                (Some(default), Some(max)) if default > max => {
                    Err(SettingsConflict::Lifetime { setting, max })
                }
                _ => Ok(LifetimePolicy {
                    max_ttl,
                    default_ttl,
                    must_expire: self.forbid_never_expiring,
                }),
            }
        };
        options.people = policy(
            "default-person-token-ttl",
            self.max_person_token_ttl,
            self.default_person_token_ttl,
        )?;
        options.machines = policy(
            "default-machine-token-ttl",
            self.max_machine_token_ttl,
            self.default_machine_token_ttl,
        )?;
        options.token_prefix = self.token_prefix.clone();
        options.max_tokens_per_user = self.max_tokens_per_user;
        options.forbid_token_children = self.forbid_token_children;
        options.disable_family_on_reuse = self.disable_family_on_reuse;
        options.token_requests_per_minute = self.token_requests_per_minute.and_then(NonZero::new);
        Ok(())
    }
}

/// The first admin's password, and how passwords are hashed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Passwords")]
pub struct PasswordArgs {
    /// A file that holds the password of the user admin, whom the first start creates; or set
    /// `HALLPASS_ADMIN_PASSWORD`. Not set: a password is generated.
    #[arg(long, env, value_name = "FILE")]
    pub admin_password_file: Option<PathBuf>,

    /// The memory that argon2id uses for a password, in KiB. It can only be raised.
    #[arg(long, env, value_name = "KIB", default_value = "19456")]
    #[arg(value_parser = values::number(19_456..=1_048_576_u32))]
    pub argon2_memory_kib: u32,

    /// The number of passes that argon2id makes over that memory. It can only be raised.
    #[arg(long, env, value_name = "NUMBER", default_value = "2")]
    #[arg(value_parser = values::number(2..=64_u32))]
    pub argon2_passes: u32,

    /// The number of threads that hash passwords: 1 or 2. Each holds its memory while it works.
    #[arg(long, env, value_name = "NUMBER", default_value = "1")]
    #[arg(value_parser = values::number(1..=2_u8))]
    pub hasher_threads: u8,
}

impl PasswordArgs {
    /// The hasher's options.
    pub fn options(&self) -> HasherOptions {
        HasherOptions {
            memory_kib: self.argon2_memory_kib,
            passes: self.argon2_passes,
            threads: usize::from(self.hasher_threads),
            ..HasherOptions::default()
        }
    }
}

/// What the first start creates beside the user admin.
#[derive(Args, Debug)]
#[command(next_help_heading = "First start")]
pub struct FirstStartArgs {
    /// A new file in which the first start, on an empty database, leaves a token of the new machine bootstrap, an admin,
    /// for automation to begin with. Later starts write nothing.
    #[arg(long, env, value_name = "FILE")]
    pub bootstrap_token_file: Option<PathBuf>,

    /// The lifetime of that token. Not set: 24h, or a machine's maximum if that is shorter.
    #[arg(long, env, value_name = "DURATION", value_parser = values::duration)]
    pub bootstrap_token_ttl: Option<Duration>,
}

impl FirstStartArgs {
    /// The token that the first start is to create, within the limits that are in `options`.
    ///
    /// # Errors
    /// It has a lifetime and no file, or lives longer than a machine's token may, or its file has another use.
    pub fn bootstrap_token(
        &self,
        options: &AppOptions,
    ) -> Result<Option<BootstrapToken>, SettingsConflict> {
        let (setting, needed) = ("bootstrap-token-ttl", "bootstrap-token-file");
        let Some(file) = &self.bootstrap_token_file else {
            return match self.bootstrap_token_ttl {
                Some(_) => Err(SettingsConflict::Missing { setting, needed }),
                None => Ok(None),
            };
        };
        // Messages name it, and must be right in any working directory.
        let file = path::absolute(file).unwrap_or_else(|_| file.clone());
        if file == options.initial_password_file {
            return Err(SettingsConflict::SameFile(file));
        }
        let max = options.machines.max_ttl.unwrap_or(Duration::MAX);
        let ttl = match self.bootstrap_token_ttl {
            Some(ttl) if ttl > max => return Err(SettingsConflict::Lifetime { setting, max }),
            Some(ttl) => ttl,
            None => BOOTSTRAP_TOKEN_TTL.min(max),
        };
        Ok(Some(BootstrapToken { file, ttl }))
    }
}

/// How long ended tokens are kept.
#[derive(Args, Debug)]
#[command(next_help_heading = "Tokens")]
pub struct RetentionArgs {
    /// How long expired, revoked and rotated tokens are kept before they are purged, and the newest 1,000 of each user
    /// at most.
    #[arg(long, env, value_name = "DURATION", default_value = "90d")]
    #[arg(value_parser = values::duration)]
    pub retention: Duration,

    /// Purge although the clock is more than seven days past the last purge, because the clock is right and the server
    /// was off. Applies to the first purge after this start.
    #[arg(long, env)]
    pub accept_clock: bool,
}
