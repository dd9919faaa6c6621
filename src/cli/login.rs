//! `hallpass login` and `logout`: store a server to work on, with a token that is sent to no other server.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{self, PathBuf},
};

use clap::{Args, builder::BoolishValueParser};
use serde_json::json;

use crate::{
    config::{
        client_tls::{ClientTls, ClientTlsArgs},
        logins::{self, Login, Logins},
        server_address::ServerAddress,
    },
    domain::{
        clock::{Clock, SystemClock},
        secret::Secret,
        token_text::TokenText,
    },
    proto::hallpass::v1::{
        CreateTokenRequest, DeleteTokenRequest, GetCurrentUserRequest, LookUpTokenRequest, Token,
    },
};

use super::{
    client::Client,
    confirmation::TerminalConfirmation,
    failure::Failure,
    output::{self, OutputArgs},
    password_input::{PasswordInput, read_plaintext},
    plural, relative_time,
    time_arg::ExpiryArg,
};

#[derive(Args, Debug)]
pub(super) struct LoginArgs {
    /// The server: `https://HOST[:PORT][/PATH]`, or `http://` on this machine.
    #[arg(value_name = "URL", value_parser = parse_url)]
    url: ServerAddress,
    /// Sign in as this user, with a password, which you are asked for.
    #[arg(
        long,
        short,
        alias = "user",
        value_name = "NAME",
        conflicts_with = "with_token"
    )]
    username: Option<String>,
    /// Store an existing token: asks for it on a terminal, and reads it from stdin otherwise.
    #[arg(long, conflicts_with_all = ["password_stdin", "password_file"])]
    with_token: bool,
    #[command(flatten)]
    password: PasswordInput,
    /// When the token that a password creates expires: a duration such as 12h, a day such as 2027-01-01 (from 00:00
    /// UTC), a time such as 2027-01-01T08:00:00+01:00, or never.
    #[arg(long, value_name = "WHEN", default_value = "30d")]
    expires: ExpiryArg,
    /// Where to store the token. Default: in the folder hallpass in `XDG_CONFIG_HOME` or ~/.config.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Allow sending secrets over unencrypted `http://` to another machine, now and later.
    #[arg(
        long,
        env = "HALLPASS_INSECURE",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    insecure: bool,
    #[command(flatten)]
    tls: ClientTlsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct LogoutArgs {
    /// The server. Default: that of the last login.
    #[arg(value_name = "URL", value_parser = parse_url)]
    url: Option<ServerAddress>,
    #[command(flatten)]
    tls: ClientTlsArgs,
    #[command(flatten)]
    confirmation: TerminalConfirmation,
}

fn parse_url(text: &str) -> Result<ServerAddress, String> {
    match ServerAddress::parse(text)? {
        ServerAddress::Unix(_) => {
            Err("must be https:// or http://: a control socket needs no login".to_owned())
        }
        address @ ServerAddress::Http { .. } => Ok(address),
    }
}

/// A hint if stdin holds no token.
const BY_PASSWORD: &str =
    "To log in with a password, give --username, and --password-file or --password-stdin.";

enum Credential {
    Password { username: String, password: Secret },
    Token(Secret),
}

pub(super) fn login(args: LoginArgs) -> Result<(), Failure> {
    let server = &args.url;
    if server.is_open() && !args.insecure {
        return Err(Failure::usage(format!(
            "{server} is not encrypted, so others could see your secret: use https://, or give --insecure"
        )));
    }
    // Nobody should type a secret if the server is not there or the token cannot be stored.
    let tls = args.tls.files(None)?.absolute();
    let client = Client::of_server(server.clone(), None, &tls)?;
    client.run(async |_| Ok(()))?;
    drop(Logins::open()?);
    let (username, token, plaintext, made_by_login) = match credential(&args)? {
        Credential::Password { username, password } => {
            let created = client.call(&CreateTokenRequest {
                note: note(),
                expire_time: args
                    .expires
                    .time(SystemClock.now())
                    .map(relative_time::to_proto),
                never_expires: args.expires == ExpiryArg::Never,
                username: username.clone(),
                password: password.expose().to_owned(),
                ..CreateTokenRequest::default()
            })?;
            let token = created.metadata.unwrap_or_default();
            (username, token, Secret::new(created.token), true)
        }
        Credential::Token(plaintext) => {
            let client = Client::of_server(server.clone(), Some(plaintext.clone()), &tls)?;
            let caller = client.call(&GetCurrentUserRequest {})?;
            let username = caller.user.unwrap_or_default().username;
            (username, caller.token.unwrap_or_default(), plaintext, false)
        }
    };
    let stored = store(&args, &tls, username, &token, &plaintext, made_by_login);
    let login = stored.map_err(|failure| {
        if !made_by_login {
            return failure;
        }
        match StoredToken::new(server, &tls, &token.id, &plaintext) {
            Ok(token) => failure.and(&token.revoke_or_explain()),
            Err(_) => failure,
        }
    })?;
    print(&args, &login, &token)
}

fn credential(args: &LoginArgs) -> Result<Credential, Failure> {
    let password = |username: String| {
        let password = args.password.read_once()?;
        Ok(Credential::Password { username, password })
    };
    if let Some(username) = &args.username {
        return password(username.clone());
    }
    if args.password.is_given() {
        return Err(Failure::usage(
            "give --username, too: whose password is it?",
        ));
    }
    if args.with_token {
        return Ok(Credential::Token(read_token()?));
    }
    if !io::stdin().is_terminal() {
        let token = read_token().map_err(|failure| failure.with_line(BY_PASSWORD.to_owned()));
        return Ok(Credential::Token(token?));
    }
    let username = ask("Username, or nothing to paste a token: ")?;
    if username.is_empty() {
        Ok(Credential::Token(read_token()?))
    } else {
        password(username)
    }
}

/// Checks the token's form first, so that no other text is sent.
fn read_token() -> Result<Secret, Failure> {
    let text = read_plaintext(&[])?;
    let token = TokenText::from_paste(text.expose())
        .map_err(|error| Failure::failed(format!("the text {error}")))?;
    Ok(Secret::new(token.expose().to_owned()))
}

fn ask(question: &str) -> Result<String, Failure> {
    let mut stderr = io::stderr();
    let asked = write!(stderr, "{question}").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| io::stdin().read_line(&mut answer));
    read.map_err(|error| Failure::failed(format!("cannot ask on the terminal: {error}")))?;
    Ok(answer.trim().to_owned())
}

/// A note that says where the token is stored.
fn note() -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let host: String = host.chars().filter(|char| !char.is_control()).collect();
    format!("hallpass login on {host}")
}

/// Stores the login, and revokes the token that an earlier login to the server created, unless other tokens would end
/// with it.
fn store(
    args: &LoginArgs,
    tls: &ClientTls,
    username: String,
    token: &Token,
    plaintext: &Secret,
    made_by_login: bool,
) -> Result<Login, Failure> {
    let mut logins = Logins::open()?;
    let token_file = match &args.token_file {
        Some(file) => path::absolute(file)
            .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?,
        None => logins.file_for(&token.id),
    };
    let login = Login {
        username,
        token_id: token.id.clone(),
        token_file,
        made_by_login,
        insecure: args.insecure,
        tls: tls.clone(),
    };
    let before = logins.store(&args.url, login.clone(), plaintext)?;
    drop(logins);
    if let Some((before, plaintext)) = before
        && before.made_by_login
        && before.token_id != login.token_id
    {
        let id = &before.token_id;
        let token = StoredToken::new(&args.url, tls, id, &plaintext)?;
        let result = match token.live_children() {
            0 => token.revoke_or_explain(),
            count => format!(
                "the token {id} stays valid, since {} created with it would end, too: `hallpass token delete {id}` revokes them",
                plural::count(count, "token")
            ),
        };
        output::hint(&format!("previous login: {result}"));
    }
    Ok(login)
}

/// A client that calls the server with the token itself.
struct StoredToken {
    id: String,
    client: Client,
}

impl StoredToken {
    fn new(
        server: &ServerAddress,
        tls: &ClientTls,
        id: &str,
        plaintext: &Secret,
    ) -> Result<Self, Failure> {
        let client = Client::of_server(server.clone(), Some(plaintext.clone()), tls)?;
        Ok(Self {
            id: id.to_owned(),
            client,
        })
    }

    /// How many live tokens were created with it; 0 if that is unknown, since the next call reports why.
    fn live_children(&self) -> u32 {
        let token_id = self.id.clone();
        let found = self.client.call(&LookUpTokenRequest { token_id });
        found.map_or(0, |found| found.live_children)
    }

    /// Revokes it, and says what became of it.
    fn revoke(&self) -> Result<String, Failure> {
        let id = &self.id;
        let token_id = id.clone();
        match self.client.call(&DeleteTokenRequest { token_id }) {
            Ok(done) if done.deleted_children > 0 => Ok(format!(
                "the token {id} is deleted; tokens created with it, deleted too: {}",
                done.deleted_children
            )),
            Ok(_) => Ok(format!("the token {id} is deleted")),
            Err(failure) if failure.is_refused_as("unauthenticated") => {
                Ok(format!("the token {id} was no longer valid"))
            }
            Err(failure) => Err(failure.and(&format!(
                "the token {id} is still valid, so delete it when the server can be reached"
            ))),
        }
    }

    /// The same with the failure as text.
    fn revoke_or_explain(&self) -> String {
        self.revoke()
            .unwrap_or_else(|failure| failure.message().unwrap_or_default())
    }
}

fn print(args: &LoginArgs, login: &Login, token: &Token) -> Result<(), Failure> {
    let (server, file) = (args.url.to_string(), login.token_file.display());
    if args.output.json {
        let expires = token.expire_time.map(|time| relative_time::of(Some(time)));
        return Ok(output::json(&json!({
            "server": server,
            "username": login.username,
            "tokenId": login.token_id,
            "tokenFile": file.to_string(),
            "expireTime": expires.map(|time| time.to_string()),
        }))?);
    }
    let (username, id) = (&login.username, &login.token_id);
    let expires = relative_time::show_expiry(token.expire_time, SystemClock.now());
    output::line(&format!("logged in to {server} as {username}"))?;
    output::hint(&format!(
        "The token {id} is in {file}; expires: {expires}. Commands work on {server} from now on, unless another target is \
         given: see `hallpass status`."
    ));
    Ok(())
}

/// Asks if other tokens would end with that of the login.
fn confirm(confirmation: TerminalConfirmation, token: &StoredToken) -> Result<(), Failure> {
    let count = token.live_children();
    if count == 0 {
        return Ok(());
    }
    confirmation.ask(&token.client, || {
        let tokens = plural::count(count, "token");
        Ok(Some(format!(
            "{tokens} created with the token {} of this login would end, too. Log out?",
            token.id
        )))
    })
}

pub(super) fn logout(args: LogoutArgs) -> Result<(), Failure> {
    let found = match args.url {
        Some(server) => logins::find(&server)?.map(|login| (server, login)),
        None => logins::current()?,
    };
    let (server, login) = found.ok_or_else(|| Failure::failed("there is no stored login"))?;
    let revoked = match login.token() {
        Ok(plaintext) if login.made_by_login => {
            let tls = args.tls.files(Some(&login.tls))?;
            let token = StoredToken::new(&server, &tls, &login.token_id, &plaintext)?;
            confirm(args.confirmation, &token)?;
            token.revoke()
        }
        Ok(_) => Ok(format!(
            "the token {} is still valid, since `hallpass login` did not create it",
            login.token_id
        )),
        Err(error) => Err(Failure::from(error)),
    };
    Logins::open()?.forget(&server)?;
    let revoked = revoked
        .map_err(|failure| failure.with_line(format!("The login to {server} is forgotten.")))?;
    output::line(&format!("logged out of {server}"))?;
    output::hint(&revoked);
    Ok(())
}
