//! Which server or database a command works on, and with which token.
//!
//! The first that is given: `--server`, `--database-url`, `HALLPASS_SERVER`, `HALLPASS_DATABASE_URL`, the stored
//! login, the default database: `hallpass.db` in the working directory, or else that of the package's service.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Args, Command, FromArgMatches, error::Error, parser::ValueSource};

use super::{
    SettingsConflict,
    client_tls::{ClientTls, ClientTlsArgs},
    environment::{TOKEN, variable, without_empty},
    logins::{self, Login, LoginError},
    secrets::{SecretError, SecretFileError, SecretSource, read_secret_file},
    server_address::ServerAddress,
    store::StoreArgs,
    with_variables,
};
use crate::domain::secret::Secret;

const TOKEN_FILE: &str = "--token-file, HALLPASS_TOKEN_FILE";
/// Where the service of the Debian package has its database (`packaging/debian`).
const SERVICE_DATABASE: &str = "/var/lib/hallpass/hallpass.db";

#[derive(Args, Debug)]
#[command(next_help_heading = "Target")]
struct TargetFlags {
    /// Work on a server instead of a database: `https://HOST[:PORT][/PATH]`, `http://` on this machine, or unix:PATH
    /// for a control socket. Over HTTP the token comes from --token-file, `HALLPASS_TOKEN`, `HALLPASS_TOKEN_FILE` or
    /// `hallpass login`.
    #[arg(long, env, value_name = "URL", value_parser = ServerAddress::parse)]
    server: Option<ServerAddress>,

    /// A file that holds the token for --server.
    #[arg(long, env, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Send the token over unencrypted `http://` even to another machine.
    #[arg(long, env)]
    insecure: bool,

    #[command(flatten)]
    tls: ClientTlsArgs,

    #[command(flatten)]
    store: StoreArgs,
}

/// What flags and variables say.
#[derive(Debug)]
pub struct TargetArgs {
    /// The server that a flag or a variable names.
    server: Option<ServerAddress>,
    /// The database.
    pub store: StoreArgs,
    /// Which of them names either; `None`: none does.
    given: Option<Why>,
    token_file: Option<PathBuf>,
    token_file_is_a_flag: bool,
    insecure: bool,
    tls: ClientTlsArgs,
}

/// Why a command works on its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The flag.
    ServerFlag,
    /// The flag.
    DatabaseFlag,
    /// The variable.
    ServerVariable,
    /// The variable.
    DatabaseVariable,
    /// The current login.
    Login,
    /// None of these is set.
    Default,
    /// None of these is set, and the default is not there.
    Service,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServerFlag => "by --server",
            Self::DatabaseFlag => "by --database-url",
            Self::ServerVariable => "by HALLPASS_SERVER",
            Self::DatabaseVariable => "by HALLPASS_DATABASE_URL",
            Self::Login => "by `hallpass login`",
            Self::Default => {
                "the default, since no server and no database is named and nobody has logged in"
            }
            Self::Service => {
                "this machine's service, since no server and no database is named, nobody has logged in, and there is no \
                 hallpass.db in the working directory"
            }
        })
    }
}

/// Where a token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// The flag.
    Flag,
    /// The variable.
    Variable,
    /// The file that a variable names.
    FileVariable,
    /// `hallpass login`.
    Login,
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "of --token-file",
            Self::Variable => "of HALLPASS_TOKEN",
            Self::FileVariable => "of HALLPASS_TOKEN_FILE",
            Self::Login => "of `hallpass login`",
        })
    }
}

/// What a command works on.
#[derive(Debug)]
pub struct Target {
    /// The server; `None`: the database.
    pub server: Option<ServerAddress>,
    /// Why.
    pub why: Why,
    login: Option<Login>,
}

impl TargetArgs {
    /// What the flags of an unfinished command line and the environment say; `None`: they cannot be parsed.
    pub fn of_unfinished(words: &[OsString]) -> Option<Self> {
        let command = TargetFlags::augment_args(Command::new("line").no_binary_name(true));
        let command = without_empty(with_variables(command));
        let (mut flags, mut words) = (Vec::new(), words.iter().filter_map(|word| word.to_str()));
        while let Some(word) = words.by_ref().find(|word| word.starts_with("--")) {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (word, None),
            };
            let mut known = command.get_arguments();
            let Some(known) = known.find(|arg| arg.get_long() == flag.strip_prefix("--")) else {
                continue;
            };
            flags.push(flag);
            if known.get_action().takes_values() {
                flags.push(unquoted(value.or_else(|| words.next())?));
            }
        }
        Self::from_arg_matches(&command.try_get_matches_from(flags).ok()?).ok()
    }

    /// Chooses the target.
    ///
    /// # Errors
    /// The stored logins are needed, and cannot be read.
    pub fn choose(&self) -> Result<Target, LoginError> {
        let (server, why, login) = match (&self.server, self.given) {
            (Some(server @ ServerAddress::Http { .. }), Some(why)) => {
                (Some(server.clone()), why, logins::find(server)?)
            }
            (server, Some(why)) => (server.clone(), why, None),
            (_, None) => match logins::current()? {
                Some((server, login)) => (Some(server), Why::Login, Some(login)),
                None if self.store.database_url == Path::new(SERVICE_DATABASE) => {
                    (None, Why::Service, None)
                }
                None => (None, Why::Default, None),
            },
        };
        Ok(Target { server, why, login })
    }

    /// The files with which to speak TLS to the target.
    ///
    /// # Errors
    /// A certificate has no key, or a key no certificate.
    pub fn client_tls(&self, target: &Target) -> Result<ClientTls, SettingsConflict> {
        self.tls
            .files(target.login.as_ref().map(|login| &login.tls))
    }

    /// The token for a server over HTTP, and where it comes from; `None`: there is none.
    ///
    /// # Errors
    /// There is more than one, or it would be sent unencrypted.
    pub fn token(&self, target: &Target) -> Result<Option<(Secret, TokenSource)>, TokenError> {
        let file = self.token_file.as_deref();
        let login = target.login.as_ref();
        let token = choose_token(variable(TOKEN), file, self.token_file_is_a_flag, login)?;
        let server = target.server.as_ref().filter(|server| server.is_open());
        let is_agreed = self.insecure || login.is_some_and(|login| login.insecure);
        match (server, &token) {
            (Some(server), Some(_)) if !is_agreed => Err(TokenError::Open(server.clone())),
            _ => Ok(token),
        }
    }
}

/// `default`, or `service` if only that is there. A file in a folder that one may not look into counts as there: the
/// command then says that it may not, and not that there is no database.
fn default_database(default: PathBuf, service: &Path) -> PathBuf {
    if default.exists() || !service.try_exists().unwrap_or(true) {
        default
    } else {
        service.to_owned()
    }
}

/// Shells pass words on as they were typed.
fn unquoted(word: &str) -> &str {
    let within = |quote| word.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(word)
}

fn choose_token(
    text: Option<OsString>,
    file: Option<&Path>,
    file_is_a_flag: bool,
    login: Option<&Login>,
) -> Result<Option<(Secret, TokenSource)>, TokenError> {
    let text = text.filter(|_| !file_is_a_flag);
    Ok(match SecretSource::of(TOKEN, text, file)? {
        SecretSource::Variable(token) => Some((token, TokenSource::Variable)),
        SecretSource::File(file) => {
            let source = if file_is_a_flag {
                TokenSource::Flag
            } else {
                TokenSource::FileVariable
            };
            Some((read_secret_file(&file, TOKEN_FILE)?, source))
        }
        SecretSource::NotSet => match login {
            Some(login) => Some((login.token()?, TokenSource::Login)),
            None => None,
        },
    })
}

/// Why there is no token to send.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error(
        "{0} needs a token: run `hallpass login {0}`, set {TOKEN} or {TOKEN}_FILE, or give --token-file"
    )]
    Missing(ServerAddress),
    /// Not a token.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Others could read it on the network.
    #[error("{0} is not encrypted, and a token must not be seen: use https://, or give --insecure")]
    Open(ServerAddress),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The stored login cannot be read.
    #[error(transparent)]
    Login(#[from] LoginError),
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
        let is_from = |id: &str, source| matches.value_source(id) == Some(source);
        let is_flag = |id: &str| is_from(id, ValueSource::CommandLine);
        let given = if is_flag("server") {
            Some(Why::ServerFlag)
        } else if is_flag("database_url") {
            Some(Why::DatabaseFlag)
        } else if is_from("server", ValueSource::EnvVariable) {
            Some(Why::ServerVariable)
        } else if is_from("database_url", ValueSource::EnvVariable) {
            Some(Why::DatabaseVariable)
        } else {
            None
        };
        let mut store = flags.store;
        if given.is_none() {
            store.database_url = default_database(store.database_url, Path::new(SERVICE_DATABASE));
        }
        Ok(Self {
            server: flags.server.filter(|_| given != Some(Why::DatabaseFlag)),
            store,
            given,
            token_file: flags.token_file,
            token_file_is_a_flag: is_flag("token_file"),
            insecure: flags.insecure,
            tls: flags.tls,
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
        let command = with_variables(TargetArgs::augment_args(Command::new("probe")));
        let args = ["probe"].iter().chain(args);
        TargetArgs::from_arg_matches(&command.get_matches_from(args)).unwrap()
    }

    #[test]
    fn a_server_beats_a_database_that_is_named_in_the_same_way() {
        let (server, database) = ("--server=unix:a.sock", "--database-url=sqlite:x.db");
        let chosen = |args: &[&str]| {
            let target = target(args).choose().unwrap();
            (target.server.is_some(), target.why)
        };
        assert_eq!(chosen(&[database]), (false, Why::DatabaseFlag));
        assert_eq!(chosen(&[server, database]), (true, Why::ServerFlag));
    }

    #[test]
    fn the_service_has_the_default_database_where_the_working_directory_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let (here, service) = (folder.path().join("here"), folder.path().join("service"));
        let chosen = || default_database(here.clone(), &service);
        assert_eq!(chosen(), here);
        std::fs::write(&service, "").unwrap();
        assert_eq!(chosen(), service);
        std::fs::write(&here, "").unwrap();
        assert_eq!(chosen(), here);
    }

    #[test]
    fn a_token_comes_from_one_place() {
        let text = || Some(OsString::from("secret"));
        let file = Path::new("/nowhere/at/all");
        let chosen = |text, file, flag| choose_token(text, file, flag, None);
        let (token, source) = chosen(text(), None, false).unwrap().unwrap();
        assert_eq!((token.expose(), source), ("secret", TokenSource::Variable));
        let both = chosen(text(), Some(file), false);
        assert!(matches!(
            both,
            Err(TokenError::Secret(SecretError::Both(_)))
        ));
        let flag = chosen(text(), Some(file), true);
        assert!(matches!(flag, Err(TokenError::File(_))));
        assert!(matches!(chosen(None, None, false), Ok(None)));
    }

    #[test]
    fn a_token_is_never_sent_unencrypted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "secret").unwrap();
        let file = format!("--token-file={}", file.display());
        let token = |address: &str, more: &[&str]| {
            let args = [&["--server", address, &*file], more].concat();
            let args = target(&args);
            let server = args.server.clone();
            let target = Target {
                server,
                why: Why::ServerFlag,
                login: None,
            };
            args.token(&target)
        };
        for address in ["http://10.0.0.1", "http://tokens.example:8080"] {
            let refused = token(address, &[]);
            assert!(matches!(refused, Err(TokenError::Open(_))), "{address}");
            assert!(token(address, &["--insecure"]).is_ok(), "{address}");
        }
        for address in [
            "https://tokens.example",
            "http://[::1]:1",
            "http://localhost",
        ] {
            assert!(token(address, &[]).is_ok(), "{address}");
        }
    }
}
