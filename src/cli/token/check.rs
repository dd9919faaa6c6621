//! `hallpass token explain`, `verify` and `inspect`: what is known about a plaintext. It comes from stdin or a prompt,
//! since every process on the machine can read arguments.

use std::io;

use clap::Args;
use serde_json::json;

use crate::{
    config::target::TargetArgs,
    domain::{
        clock::{Clock, SystemClock},
        id::TokenId,
        presented_token::PresentedToken,
        token_text::{TokenText, TokenTextError},
    },
    proto::hallpass::v1::{
        ExplainTokenRequest, ExplainTokenResponse, Reason, VerifyTokenRequest, VerifyTokenResponse,
    },
};

use super::{
    super::{
        client::Client,
        exit_code::ExitCode,
        failure::Failure,
        output::{self, OutputArgs, or_dash},
        password_input::read_plaintext,
        relative_time, user_view,
    },
    malformed_id,
};

/// The use that is asked about.
#[derive(Args, Debug)]
struct UseArgs {
    /// A scope that the token must have. May be repeated, or several separated by commas.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// The address from which the token is used. Without it, a token that is limited to networks is not valid.
    #[arg(long, value_name = "IP", default_value = "", hide_default_value = true)]
    client_ip: String,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Explain {
    /// The token's ID. `-`, or nothing, reads an ID or a plaintext from stdin, or asks for it on a terminal.
    // A plaintext in an argument is understood, too.
    #[arg(value_name = "TOKEN_ID|-")]
    token: Option<String>,
    #[command(flatten)]
    usage: UseArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    source: PlaintextArg,
    #[command(flatten)]
    usage: UseArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Inspect {
    #[command(flatten)]
    source: PlaintextArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// Where a plaintext comes from.
#[derive(Args, Debug)]
struct PlaintextArg {
    /// `-`, or nothing, reads the plaintext from stdin, or asks for it on a terminal.
    // Takes anything and refuses it later, since clap would repeat it in an error, and it may be a plaintext.
    #[arg(value_name = "-", num_args = 0..)]
    from: Vec<String>,
}

pub(super) fn explain(args: Explain) -> Result<(), Failure> {
    let (token_id, plaintext_sha256) = match args.token.as_deref() {
        None | Some("-") => {
            let text = read_plaintext(args.token.as_slice())?;
            id_and_hash(text.expose())
                .map_err(|error| Failure::failed(format!("the text on stdin {error}")))?
        }
        Some(text) => id_and_hash(text)
            .map_err(|error| Failure::usage(format!("TOKEN_ID: {}", malformed_id(error))))?,
    };
    let client = Client::new(&args.target)?;
    let is_plaintext = !plaintext_sha256.is_empty();
    let reply = client.call(&ExplainTokenRequest {
        token_id: token_id.clone(),
        plaintext_sha256,
        required_scopes: args.usage.scopes,
        client_ip: args.usage.client_ip,
    });
    let reply = reply.map_err(|failure| {
        let hint = "It may be another server's: `hallpass status` shows which one was asked.";
        let failure = if is_plaintext {
            failure.hint_if("not_found", hint)
        } else {
            failure
        };
        failure.naming(token_id)
    })?;
    Ok(args.output.print(reply, print_explanation)?)
}

/// The ID and, for a plaintext, its hash, which is sent instead of it.
fn id_and_hash(text: &str) -> Result<(String, Vec<u8>), TokenTextError> {
    if let Some(id) = TokenId::from_paste(text) {
        return Ok((id.to_string(), Vec::new()));
    }
    let token = PresentedToken::from_paste(text)?;
    Ok((token.id().to_string(), token.hash().as_bytes().to_vec()))
}

fn print_explanation(reply: ExplainTokenResponse) -> io::Result<()> {
    let mut sentences = reply.sentences.iter();
    if let Some(verdict) = sentences.next() {
        output::line(verdict)?;
    }
    match reply.plaintext_matches {
        None => {}
        Some(true) => print_condition("secret is right", true, "")?,
        Some(false) => print_condition("secret is right", false, "only its ID is this token's")?,
    }
    for condition in &reply.conditions {
        print_condition(&condition.checked, condition.holds, &condition.detail)?;
    }
    sentences.try_for_each(|sentence| output::line(sentence))
}

/// `  not expired: no (it expired at …)`.
fn print_condition(checked: &str, holds: bool, detail: &str) -> io::Result<()> {
    let holds = if holds { "yes" } else { "no" };
    match detail {
        "" => output::line(&format!("  {checked}: {holds}")),
        detail => output::line(&format!("  {checked}: {holds} ({detail})")),
    }
}

pub(super) fn verify(args: Verify) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let plaintext = read_plaintext(&args.source.from)?;
    let has_address = !args.usage.client_ip.is_empty();
    let reply = client.call(&VerifyTokenRequest {
        token: plaintext.expose().to_owned(),
        required_scopes: args.usage.scopes,
        client_ip: args.usage.client_ip,
    })?;
    let valid = reply.valid;
    args.output.print(reply, |reply| {
        if valid {
            return output::fields(describe(reply));
        }
        let presented = PresentedToken::from_paste(plaintext.expose());
        if let (Reason::CredentialsInvalid, Err(error)) = (reply.reason(), presented) {
            return output::line(&format!("not valid: it {error}"));
        }
        let why = why(reply.reason(), has_address);
        output::line(&format!("not valid: {why}"))?;
        output::hint("`hallpass token explain -` says more to users who may see the token.");
        Ok(())
    })?;
    if valid {
        Ok(())
    } else {
        Err(Failure::silent(ExitCode::Failed))
    }
}

fn describe(reply: VerifyTokenResponse) -> [(&'static str, String); 7] {
    let (token, user) = (
        reply.token.unwrap_or_default(),
        reply.user.unwrap_or_default(),
    );
    let expires = relative_time::show_expiry(token.expire_time, SystemClock.now());
    let (kind, role) = (user_view::kind(&user), user_view::role(&user));
    let name = user_view::named(&user.username, &user.id);
    [
        ("Valid", "yes".to_owned()),
        ("Token", token.id),
        ("User", format!("{name}: {kind}, {role}")),
        ("Expires", expires),
        ("Scopes", or_dash(token.scopes.join(" "))),
        ("Networks", or_dash(token.allowed_cidrs.join(" "))),
        ("Note", token.note),
    ]
}

fn why(reason: Reason, has_address: bool) -> &'static str {
    match reason {
        Reason::CredentialsInvalid => "this server does not know it, or its secret is wrong",
        Reason::TokenExpired => "it has expired, or was rotated and its grace period is over",
        Reason::TokenDeleted => "it was deleted",
        Reason::TokenDisabled => "it is disabled",
        Reason::UserDeactivated => "its user is deactivated or deleted",
        Reason::ParentInvalid => "the token with which it was created is no longer valid",
        Reason::AddressNotAllowed if has_address => "it may not be used from that address",
        Reason::AddressNotAllowed => {
            "it is limited to networks: give --client-ip, the address from which it is used"
        }
        Reason::ScopeMissing => "it lacks a required scope",
        Reason::TokenRateLimited => "it is valid, but is used more often than allowed",
        other => other.as_str_name(),
    }
}

/// Runs `hallpass token inspect`, which only looks at the text.
pub(super) fn inspect(args: &Inspect) -> Result<(), Failure> {
    let plaintext = read_plaintext(&args.source.from)?;
    let token = TokenText::from_paste(plaintext.expose())
        .map_err(|error| Failure::failed(format!("the text {error}")))?;
    let (id, prefix) = (token.id().to_string(), token.prefix());
    if args.output.json {
        output::json(&json!({ "id": id, "prefix": prefix }))?;
    } else {
        output::fields([("ID", id), ("Prefix", prefix.to_owned())])?;
        output::hint(
            "The form and the checksum are right. Only the server knows whether it is valid.",
        );
    }
    Ok(())
}
