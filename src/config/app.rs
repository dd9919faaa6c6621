//! The settings of the use cases: which tokens may be made, how passwords are hashed, what is kept how long.
//! A command takes those that bear on what it does, so that it keeps the same limits as the server.

use std::time::Duration;

use clap::{Args, builder::BoolishValueParser};

use super::{contradiction::Contradiction, number::number, policies::LifetimeArgs, values};
use crate::{
    app::{AppOptions, passwords::HasherOptions},
    domain::token_text::TokenPrefix,
};

/// Which tokens may be made.
#[derive(Args, Debug)]
#[command(next_help_heading = "Tokens")]
pub struct TokenArgs {
    /// What new tokens begin with: 3 to 16 of a-z and 0-9.
    #[arg(
        long,
        env = "HALLPASS_TOKEN_PREFIX",
        hide_env_values = true,
        value_name = "PREFIX",
        default_value = "hallpass",
        value_parser = values::token_prefix
    )]
    pub token_prefix: TokenPrefix,

    /// How long they live.
    #[command(flatten)]
    pub lifetimes: LifetimeArgs,

    /// How many live tokens a user may have, and how many a token may have made.
    #[arg(
        long,
        env = "HALLPASS_MAX_TOKENS_PER_USER",
        hide_env_values = true,
        value_name = "NUMBER",
        default_value = "500",
        value_parser = number(1..=u32::MAX)
    )]
    pub max_tokens_per_user: u32,
}

impl TokenArgs {
    /// Writes these settings into `options`.
    ///
    /// # Errors
    /// Two of them cannot both be.
    pub fn apply(&self, options: &mut AppOptions) -> Result<(), Contradiction> {
        options.token_prefix = self.token_prefix.clone();
        options.max_tokens_per_user = self.max_tokens_per_user;
        self.lifetimes.apply(options)
    }
}

/// How passwords are hashed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Passwords")]
pub struct PasswordArgs {
    /// How much memory argon2id takes for a password, in KiB. It may only rise.
    #[arg(
        long,
        env = "HALLPASS_ARGON2_MEMORY_KIB",
        hide_env_values = true,
        value_name = "KIB",
        default_value = "19456",
        value_parser = number(19_456..=1_048_576_u32)
    )]
    pub argon2_memory_kib: u32,

    /// How often argon2id goes over that memory. It may only rise.
    #[arg(
        long,
        env = "HALLPASS_ARGON2_PASSES",
        hide_env_values = true,
        value_name = "NUMBER",
        default_value = "2",
        value_parser = number(2..=64_u32)
    )]
    pub argon2_passes: u32,

    /// How many threads hash passwords: 1 or 2. Each holds its memory while it works.
    #[arg(
        long,
        env = "HALLPASS_HASHER_THREADS",
        hide_env_values = true,
        value_name = "NUMBER",
        default_value = "1",
        value_parser = number(1..=2_u8)
    )]
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

/// How long what is over is kept.
#[derive(Args, Debug)]
#[command(next_help_heading = "Tokens")]
pub struct RetentionArgs {
    /// How long deleted and expired tokens are kept before they are purged: of each user, the newest 1,000.
    #[arg(
        long,
        env = "HALLPASS_RETENTION",
        hide_env_values = true,
        value_name = "DURATION",
        default_value = "90d",
        value_parser = values::duration
    )]
    pub retention: Duration,

    /// Purge although the clock is more than seven days past the last purge: it is right, and the server was
    /// off. It counts for the first purge after this start.
    #[arg(
        long,
        env = "HALLPASS_ACCEPT_CLOCK",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub accept_clock: bool,
}
