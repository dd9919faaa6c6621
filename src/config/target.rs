//! Which server or database a command works on, and with which token.
//!
//! The first that is given: `--server`, `--database-url`, `HALLPASS_SERVER`, `HALLPASS_DATABASE_URL`, the
//! default database. A flag names what this one command is about, so it beats a variable of either kind.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    ArgMatches, Args, Command, FromArgMatches, builder::BoolishValueParser, error::Error,
    parser::ValueSource,
};

use super::{
    environment::{SecretError, TOKEN, secret, variable},
    password_file::{PasswordFileError, read_password_file},
    server_address::ServerAddress,
    store::StoreArgs,
};
use crate::domain::secret::Secret;

/// How messages name the setting of the file that holds it.
const TOKEN_FILE: &str = "--token-file, HALLPASS_TOKEN_FILE";

#[derive(Args, Debug)]
struct TargetFlags {
    /// Work on a server instead of a database: `https://HOST[:PORT]`, `http://` on this machine, or
    /// unix:PATH for a control socket. Over HTTP the token comes from `HALLPASS_TOKEN`, `HALLPASS_TOKEN_FILE`
    /// or --token-file. `SSL_CERT_FILE` names authorities to trust instead of this machine's.
    #[arg(
        long,
        env = "HALLPASS_SERVER",
        hide_env_values = true,
        value_name = "URL",
        value_parser = ServerAddress::parse,
        help_heading = "Target"
    )]
    server: Option<ServerAddress>,

    /// A file that holds the token for --server.
    #[arg(
        long,
        env = "HALLPASS_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "Target"
    )]
    token_file: Option<PathBuf>,

    /// Send the token over unencrypted `http://` to another machine, too.
    #[arg(
        long,
        env = "HALLPASS_INSECURE",
        hide_env_values = true,
        value_parser = BoolishValueParser::new(),
        help_heading = "Target"
    )]
    insecure: bool,

    #[command(flatten)]
    store: StoreArgs,
}

/// What a command works on.
#[derive(Debug)]
pub struct TargetArgs {
    /// The server; `None`: the database.
    pub server: Option<ServerAddress>,
    /// The database.
    pub store: StoreArgs,
    token_file: Option<PathBuf>,
    token_file_is_a_flag: bool,
    insecure: bool,
}

impl TargetArgs {
    /// The token for a server over HTTP.
    ///
    /// # Errors
    /// There is none, more than one, or it would be sent in the clear.
    pub fn token(&self) -> Result<Secret, TokenError> {
        if let Some(server) = self.server.as_ref().filter(|server| server.is_open())
            && !self.insecure
        {
            return Err(TokenError::Open(server.clone()));
        }
        choose_token(
            variable(TOKEN),
            self.token_file.as_ref(),
            self.token_file_is_a_flag,
        )
    }
}

fn choose_token(
    text: Option<OsString>,
    file: Option<&PathBuf>,
    file_is_a_flag: bool,
) -> Result<Secret, TokenError> {
    match (text, file) {
        (Some(_), Some(_)) if !file_is_a_flag => Err(TokenError::Both),
        (_, Some(file)) => Ok(read_password_file(file, TOKEN_FILE)?),
        (Some(text), None) => Ok(secret(TOKEN, text)?),
        (None, None) => Err(TokenError::Missing),
    }
}

/// Why there is no token to send.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Nobody gave one.
    #[error("--server needs a token: set {TOKEN} or {TOKEN}_FILE, or give --token-file")]
    Missing,
    /// Two answers to one question.
    #[error("{TOKEN} and {TOKEN}_FILE are both set: unset one of them")]
    Both,
    /// Not a token.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Anyone on the way could read it.
    #[error("{0} is not encrypted, and a token must not be seen: use https://, or give --insecure")]
    Open(ServerAddress),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] PasswordFileError),
}

impl Args for TargetArgs {
    fn augment_args(command: Command) -> Command {
        TargetFlags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        TargetFlags::augment_args_for_update(command)
    }
}

impl FromArgMatches for TargetArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let flags = TargetFlags::from_arg_matches(matches)?;
        let is_flag = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let is_overruled = !is_flag("server") && is_flag("database_url");
        Ok(Self {
            server: flags.server.filter(|_| !is_overruled),
            store: flags.store,
            token_file: flags.token_file,
            token_file_is_a_flag: is_flag("token_file"),
            insecure: flags.insecure,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(args: &[&str]) -> TargetArgs {
        let command = TargetArgs::augment_args(Command::new("probe"));
        let args = ["probe"].iter().chain(args);
        TargetArgs::from_arg_matches(&command.get_matches_from(args)).unwrap()
    }

    #[test]
    fn a_server_beats_a_database_that_is_named_in_the_same_way() {
        let (server, database) = ("--server=https://a.example", "--database-url=sqlite:x.db");
        assert!(target(&[]).server.is_none());
        assert!(target(&[database]).server.is_none());
        assert!(target(&[server, database]).server.is_some());
    }

    #[test]
    fn a_token_comes_from_one_place_and_never_goes_in_the_clear() {
        let text = || Some(OsString::from("secret"));
        let file = PathBuf::from("/nowhere/at/all");
        let chosen = |text, file, flag| choose_token(text, file, flag);
        assert_eq!(chosen(text(), None, false).unwrap().expose(), "secret");
        let both = chosen(text(), Some(&file), false);
        assert!(matches!(both, Err(TokenError::Both)));
        let flag = chosen(text(), Some(&file), true);
        assert!(matches!(flag, Err(TokenError::File(_))));
        assert!(matches!(
            chosen(None, None, false),
            Err(TokenError::Missing)
        ));

        let open = |address: &str| target(&["--server", address]).token();
        for address in ["http://10.0.0.1", "http://tokens.example:8080"] {
            assert!(
                matches!(open(address), Err(TokenError::Open(_))),
                "{address}"
            );
            let insecure = target(&["--server", address, "--insecure"]).token();
            assert!(!matches!(insecure, Err(TokenError::Open(_))), "{address}");
        }
        for address in [
            "https://tokens.example",
            "http://[::1]:1",
            "http://localhost",
        ] {
            assert!(
                !matches!(open(address), Err(TokenError::Open(_))),
                "{address}"
            );
        }
    }
}
