//! `hallpass token explain`. A plaintext should come from stdin: every process on the machine can read it as an
//! argument. One that is given there is understood all the same.

use std::io;

use clap::Args;

use crate::{
    config::{password_file::read_pasted, target::TargetArgs},
    domain::{id::TokenId, presented_token::PresentedToken, token_text::TokenTextError},
    proto::hallpass::v1::{ExplainTokenRequest, ExplainTokenResponse},
};

use super::{
    super::{
        client::Client,
        failure::Failure,
        output::{self, OutputArgs},
    },
    no_id,
};

/// `token explain`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Explain {
    /// The token's ID, or `-` to read an ID or a plaintext from stdin.
    #[arg(value_name = "TOKEN_ID|-")]
    token: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass token explain`.
pub(super) fn run(args: &Explain) -> Result<(), Failure> {
    let request = if args.token == "-" {
        let text = read_pasted(io::stdin().lock(), "stdin")
            .map_err(|_| Failure::failed("stdin holds no token"))?;
        request(text.expose())
            .map_err(|error| Failure::failed(format!("the text on stdin {error}")))?
    } else {
        request(&args.token)
            .map_err(|error| Failure::usage(format!("TOKEN_ID: {}", no_id(error))))?
    };
    let client = Client::new(&args.target)?;
    let id = request.token_id.clone();
    let explanation = client.call(&request);
    let explanation = explanation.map_err(|failure| failure.naming(&id))?;
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
            plaintext_sha256: Vec::new(),
        });
    }
    let token = PresentedToken::from_paste(text)?;
    Ok(ExplainTokenRequest {
        token_id: token.id().to_string(),
        plaintext_sha256: token.hash().as_bytes().to_vec(),
    })
}

fn print(explanation: &ExplainTokenResponse) -> io::Result<()> {
    match explanation.plaintext_matches {
        None => {}
        Some(true) => output::line("The secret is right.")?,
        Some(false) => {
            output::line("The secret is wrong: only its ID is that of the token below.")?;
        }
    }
    for sentence in &explanation.sentences {
        output::line(sentence)?;
    }
    Ok(())
}
