//! The settings: each is a flag and an environment variable (`--database-url` is `HALLPASS_DATABASE_URL`), declared
//! once, for clap: `env` in its declaration says that there is a variable. They are grouped by layer, so that a command
//! takes the groups that it needs, and become the `Options` that store, app and server define. The environment is read
//! here alone; only `main` and `cli` import this module.
//!
//! A value is checked when it is read, and refused with the setting's name and the reason.

pub mod app;
pub mod audit;
pub mod client_tls;
pub mod effective;
pub mod environment;
pub mod example;
pub mod file;
pub mod invisible;
mod kubernetes;
pub mod log;
pub mod logins;
mod private_file;
pub mod secrets;
pub mod server;
pub mod server_address;
pub mod store;
pub mod target;
pub mod values;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Arg, Args, Command, builder::BoolishValueParser};

use crate::{app::AppOptions, domain::lifetime, server::ServerOptions};
use environment::ENV_PREFIX;

/// All settings: what `serve` takes and `config check` prints.
#[derive(Args, Debug)]
pub struct Settings {
    /// The settings file.
    #[command(flatten)]
    pub file: file::FileArgs,
    /// Where to listen, which peers to trust, and how much to accept.
    #[command(flatten)]
    pub server: server::ServerArgs,
    /// The database.
    #[command(flatten)]
    pub store: store::StoreArgs,
    /// Which tokens may be created, and how they may be used.
    #[command(flatten)]
    pub tokens: app::TokenArgs,
    /// How passwords are hashed.
    #[command(flatten)]
    pub passwords: app::PasswordArgs,
    /// What the first start creates.
    #[command(flatten)]
    pub first_start: app::FirstStartArgs,
    /// How long ended tokens are kept.
    #[command(flatten)]
    pub retention: app::RetentionArgs,
    /// How long audit rows are kept, and where else they go.
    #[command(flatten)]
    pub audit: audit::AuditArgs,
    /// What is logged.
    #[command(flatten)]
    pub log: log::LogArgs,
}

impl Settings {
    /// The options of the use cases and of the server.
    ///
    /// # Errors
    /// Two settings exclude each other.
    pub fn options(&self) -> Result<(AppOptions, ServerOptions), SettingsConflict> {
        Ok((self.app_options()?, self.server.options()?))
    }

    fn app_options(&self) -> Result<AppOptions, SettingsConflict> {
        let mut options = AppOptions {
            retention: self.retention.retention,
            passwords: self.passwords.options(),
            initial_password_file: self.store.initial_password_file(),
            allow_open_permissions: self.store.allow_open_permissions,
            ..AppOptions::default()
        };
        self.tokens.apply(&mut options)?;
        options.bootstrap_token = self.first_start.bootstrap_token(&options)?;
        self.audit.apply(&mut options)?;
        Ok(options)
    }
}

/// Two settings that are valid alone and exclude each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsConflict {
    /// No token could be created with this default.
    #[error(
        "--{setting} ({}): must be at most {}, which is the maximum",
        variable_of(setting),
        lifetime::show(*max)
    )]
    Lifetime {
        /// The lifetime that is too long.
        setting: &'static str,
        /// The maximum lifetime.
        max: Duration,
    },
    /// Only one of them could be listened on.
    #[error(
        "--metrics-listen (HALLPASS_METRICS_LISTEN): {metrics} is where --listen has the server itself: give another port"
    )]
    Address {
        /// Where the metrics would be.
        metrics: SocketAddr,
    },
    /// Two secrets would be in one file.
    #[error(
        "--bootstrap-token-file (HALLPASS_BOOTSTRAP_TOKEN_FILE): {} is a file of Hallpass's own: name another",
        .0.display()
    )]
    SameFile(PathBuf),
    /// One has no effect without the other.
    #[error(
        "--{setting} ({}): needs --{needed} ({}) as well",
        variable_of(setting),
        variable_of(needed)
    )]
    Missing {
        /// The one that is set.
        setting: &'static str,
        /// The one that is not.
        needed: &'static str,
    },
}

/// Gives each argument that is declared with `env` the variable of its name, whose value help does not show. A
/// switch takes yes and no from it.
pub fn with_variables(command: Command) -> Command {
    let with_variable = |arg: Arg| {
        let Some(long) = arg.get_env().and(arg.get_long()) else {
            return arg;
        };
        let variable = variable_of(long);
        let arg = if arg.get_action().takes_values() {
            arg
        } else {
            arg.value_parser(BoolishValueParser::new())
        };
        arg.env(variable).hide_env_values(true)
    };
    command
        .mut_args(with_variable)
        .mut_subcommands(with_variables)
}

/// The variable of the flag `--long`.
pub fn variable_of(long: &str) -> String {
    format!("{ENV_PREFIX}{}", long.to_uppercase().replace('-', "_"))
}

/// The names of all variables that `command` or one below it reads, each once, sorted.
pub fn variables(command: &Command) -> Vec<String> {
    let mut names: Vec<String> = command
        .get_arguments()
        .filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned()))
        .chain(command.get_subcommands().flat_map(variables))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Parser, Debug)]
    struct Probe {
        #[command(flatten)]
        settings: Settings,
    }

    fn parse(args: &[&str]) -> Result<Settings, clap::Error> {
        let args = ["probe"].iter().chain(args);
        let matches = with_variables(Probe::command()).try_get_matches_from(args)?;
        Settings::from_arg_matches(&matches)
    }

    #[test]
    fn every_setting_has_the_variable_of_its_name_and_a_description() {
        let command = with_variables(Probe::command());
        for arg in command.get_arguments() {
            let long = arg.get_long().expect("settings have long flags");
            let variable = format!("HALLPASS_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(arg.get_env(), Some(variable.as_ref()), "--{long}");
            assert!(arg.is_hide_env_values_set(), "--{long}");
            assert!(arg.get_help().is_some(), "--{long}");
        }
        assert_eq!(variables(&command).len(), command.get_arguments().count());
    }

    #[test]
    fn flags_are_parsed_into_what_they_mean() {
        let settings = parse(&[
            "--listen=[::1]:0",
            "--cors-origin=https://a.example",
            "--cors-origin=https://b.example,https://c.example",
            "--trusted-proxy=10.0.0.0/8",
            "--max-token-ttl=36h",
            "--max-body-bytes=128KiB",
            "--idle-timeout=75s",
            "--cors-header=x-tenant, X-Trace",
            "--argon2-memory-kib=65536",
        ])
        .unwrap();
        assert_eq!(settings.server.cors_origin.len(), 3);
        assert_eq!(settings.server.max_body_bytes, 131_072);
        let options = settings.server.options().unwrap();
        assert_eq!(options.limits.idle_timeout.as_secs(), 75);
        assert_eq!(options.cors_headers, ["x-tenant", "x-trace"]);
        let hours = settings
            .tokens
            .max_token_ttl
            .map(|ttl| ttl.as_secs() / 3_600);
        assert_eq!(hours, Some(36));
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for bad in [
            "--listen=8080",
            "--argon2-memory-kib=19455",
            "--argon2-passes=1",
            "--hasher-threads=3",
            "--hasher-threads=0",
            "--max-tokens-per-user=0",
            "--max-machine-token-ttl=0s",
            "--token-requests-per-minute=0",
            "--token-requests-per-minute=60001",
            "--max-connections=0",
            "--max-body-bytes=0",
            "--handler-timeout=0s",
            "--token-prefix=Hallpass",
            "--log-format=xml",
            "--retention=soon",
            "--audit-retention=23h",
            "--audit-sink=audit.jsonl",
            "--audit-sink=file:",
            "--database-url=postgres://db/hallpass",
            "--cors-origin=example.com",
            "--cors-header=*",
            "--cors-header=cookie",
            "--idle-timeout=0s",
            "--public-url=tokens.example",
            "--public-url=https://tokens.example/?a",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
    #[test]
    fn a_default_lifetime_fits_its_maximum_and_the_shorter_maximum_counts() {
        let options = |args: &[&str]| parse(args).unwrap().app_options();
        let fits = options(&[
            "--max-token-ttl=90d",
            "--max-machine-token-ttl=30d",
            "--default-machine-token-ttl=30d",
            "--default-person-token-ttl=90d",
        ]);
        let fits = fits.unwrap();
        let days = |ttl: Option<Duration>| ttl.map(|ttl| ttl.as_secs() / 86_400);
        assert_eq!(days(fits.people.max_ttl), Some(90));
        assert_eq!(days(fits.machines.max_ttl), Some(30));
        assert_eq!(days(fits.machines.default_ttl), Some(30));

        let refusal = options(&["--max-token-ttl=30d", "--default-person-token-ttl=31d"]);
        let refusal = refusal.unwrap_err().to_string();
        assert!(
            refusal.contains("HALLPASS_DEFAULT_PERSON_TOKEN_TTL"),
            "{refusal}"
        );
        assert!(refusal.contains(" 30d"), "{refusal}");
        let machine = [
            "--max-machine-token-ttl=1h",
            "--default-machine-token-ttl=2h",
        ];
        assert!(options(&machine).is_err());

        let bootstrap_ttl = |args: &[&str]| {
            let file = ["--bootstrap-token-file=token"];
            let options = options(&[&file, args].concat())?;
            Ok::<_, SettingsConflict>(options.bootstrap_token.map(|token| token.ttl.as_secs()))
        };
        assert_eq!(bootstrap_ttl(&[]), Ok(Some(86_400)));
        assert_eq!(
            bootstrap_ttl(&["--max-machine-token-ttl=1h"]),
            Ok(Some(3_600))
        );
        let long = ["--max-token-ttl=1h", "--bootstrap-token-ttl=2h"];
        let refusal = bootstrap_ttl(&long).unwrap_err().to_string();
        assert!(
            refusal.starts_with("--bootstrap-token-ttl (HALLPASS_BOOTSTRAP_TOKEN_TTL)"),
            "{refusal}"
        );
        assert!(options(&["--bootstrap-token-ttl=2h"]).is_err());
        assert!(
            options(&[
                "--max-machine-token-ttl=1h",
                "--default-person-token-ttl=2h"
            ])
            .is_ok()
        );
    }
}
