//! `hallpass token explain`. A plaintext should come from stdin: every process on the machine can read it as an
//! argument. One that is given there is understood all the same.

use std::io;

use clap::Args;

use crate::{
    config::target::TargetArgs,
    domain::{id::TokenId, presented_token::PresentedToken, token_text::TokenTextError},
    proto::hallpass::v1::{ExplainTokenRequest, ExplainTokenResponse},
};

use super::{
    super::{
        client::Client,
        failure::Failure,
        output::{self, OutputArgs},
        password_input::read_plaintext,
    },
    no_id,
};

/// Of a plaintext whose token is not there.
const ELSEWHERE: &str = "It may be another server's: `hallpass status` tells which one was asked.";

/// `token explain`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Explain {
    /// The token's ID, or `-` for an ID or a plaintext on stdin, which is also read where this is left out; on a
    /// terminal it is asked for.
    #[arg(value_name = "TOKEN_ID|-")]
    token: Option<String>,
    /// A scope that the token is used for. May be repeated, or several with commas.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// The address that the token is used from.
    #[arg(long, value_name = "IP", default_value = "", hide_default_value = true)]
    client_ip: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass token explain`.
pub(super) fn run(args: &Explain) -> Result<(), Failure> {
    let request = match args.token.as_deref() {
        None | Some("-") => {
            let text = read_plaintext(args.token.as_slice())?;
            request(text.expose())
                .map_err(|error| Failure::failed(format!("the text on stdin {error}")))?
        }
        Some(token) => {
            request(token).map_err(|error| Failure::usage(format!("TOKEN_ID: {}", no_id(error))))?
        }
    };
    let client = Client::new(&args.target)?;
    let id = request.token_id.clone();
    let is_plaintext = !request.plaintext_sha256.is_empty();
    let explanation = client.call(&ExplainTokenRequest {
        required_scopes: args.scopes.clone(),
        client_ip: args.client_ip.clone(),
        ..request
    });
    let explanation = explanation.map_err(|failure| {
        let is_elsewhere = is_plaintext && failure.is_refused_as("not_found");
        let failure = failure.naming(&id);
        if is_elsewhere {
            failure.with_line(ELSEWHERE.to_owned())
        } else {
            failure
        }
    })?;
    if args.output.json {
        output::reply(&explanation)?;
    } else {
        print(&explanation)?;
    }
    Ok(())
}

/// A plaintext is not sent, but its hash.
fn request(text: &str) -> Result<ExplainTokenRequest, TokenTextError> {
    if let Some(id) = TokenId::from_paste(text) {
        return Ok(ExplainTokenRequest {
            token_id: id.to_string(),
            ..ExplainTokenRequest::default()
        });
    }
    let token = PresentedToken::from_paste(text)?;
    Ok(ExplainTokenRequest {
        token_id: token.id().to_string(),
        plaintext_sha256: token.hash().as_bytes().to_vec(),
        ..ExplainTokenRequest::default()
    })
}

fn print(explanation: &ExplainTokenResponse) -> io::Result<()> {
    let (verdict, more) = match &explanation.sentences[..] {
        [] => (None, &[][..]),
        [verdict, more @ ..] => (Some(verdict), more),
    };
    if let Some(verdict) = verdict {
        output::line(verdict)?;
    }
    match explanation.plaintext_matches {
        None => {}
        Some(true) => check("secret is right", true, "")?,
        Some(false) => check("secret is right", false, "only its ID is this token's")?,
    }
    for condition in &explanation.conditions {
        check(&condition.checked, condition.holds, &condition.detail)?;
    }
    more.iter().try_for_each(|sentence| output::line(sentence))
}

/// `  not expired: no (it expired at …)`.
fn check(checked: &str, holds: bool, detail: &str) -> io::Result<()> {
    let holds = if holds { "yes" } else { "no" };
    match detail {
        "" => output::line(&format!("  {checked}: {holds}")),
        detail => output::line(&format!("  {checked}: {holds} ({detail})")),
    }
}
