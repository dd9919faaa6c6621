//! The settings: each is a flag and, for those in `ENV`, an environment variable of the same name
//! (`--database-url` is `HALLPASS_DATABASE_URL`). They are grouped by the room that they are for, so that
//! a command takes the groups that it needs, and become the `Options` that store, app and server define:
//! those know nothing of flags. The environment is read here alone; only `main` and `cli` import this.
//!
//! A value is checked when it is read, and refused with the setting's name and the reason.

pub mod app;
mod contradiction;
pub mod effective;
pub mod environment;
pub mod log;
pub mod logins;
pub mod number;
pub mod password_file;
pub mod policies;
mod private_file;
pub mod server;
pub mod server_address;
pub mod store;
pub mod target;
pub mod unseen;
mod values;

use clap::{Args, Command};

use crate::{app::AppOptions, server::ServerOptions};
pub use contradiction::Contradiction;

/// All settings: what `serve` takes and `config check` prints.
#[derive(Args, Debug)]
pub struct Settings {
    /// Where to listen, and how much to take in.
    #[command(flatten)]
    pub server: server::ServerArgs,
    /// The database.
    #[command(flatten)]
    pub store: store::StoreArgs,
    /// Which tokens may be made.
    #[command(flatten)]
    pub tokens: app::TokenArgs,
    /// What tokens may be used for, and how often.
    #[command(flatten)]
    pub uses: policies::UseArgs,
    /// How passwords are hashed.
    #[command(flatten)]
    pub passwords: app::PasswordArgs,
    /// How long what is over is kept.
    #[command(flatten)]
    pub retention: app::RetentionArgs,
    /// What is logged.
    #[command(flatten)]
    pub log: log::LogArgs,
}

impl Settings {
    /// The options of the use cases and of the server.
    ///
    /// # Errors
    /// Two settings cannot both be.
    pub fn options(&self) -> Result<(AppOptions, ServerOptions), Contradiction> {
        Ok((self.app_options()?, self.server.options()?))
    }

    fn app_options(&self) -> Result<AppOptions, Contradiction> {
        let mut options = AppOptions {
            retention: self.retention.retention,
            passwords: self.passwords.options(),
            initial_password_file: self.store.initial_password_file(),
            allow_open_permissions: self.store.allow_open_permissions,
            ..AppOptions::default()
        };
        self.tokens.apply(&mut options)?;
        self.uses.apply(&mut options);
        Ok(options)
    }
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
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Probe {
        #[command(flatten)]
        settings: Settings,
    }

    fn parse(args: &[&str]) -> Result<Settings, clap::Error> {
        let args = ["probe"].iter().chain(args);
        Probe::try_parse_from(args).map(|probe| probe.settings)
    }

    #[test]
    fn every_setting_has_the_variable_of_its_name_and_a_description() {
        use clap::CommandFactory;
        let command = Probe::command();
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
            .lifetimes
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
        let days = |ttl: Option<std::time::Duration>| ttl.map(|ttl| ttl.as_secs() / 86_400);
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
        assert!(
            options(&[
                "--max-machine-token-ttl=1h",
                "--default-person-token-ttl=2h"
            ])
            .is_ok()
        );
    }
}
