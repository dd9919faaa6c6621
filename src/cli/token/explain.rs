//! `hallpass token explain`. A plaintext comes from stdin alone: every process on the machine could read it as
//! an argument.

use std::io;

use clap::Args;

use crate::{
    config::{password_file::read_pasted, target::TargetArgs},
    domain::{id::TokenId, presented_token::PresentedToken, secret::Secret},
    proto::hallpass::v1::{ExplainTokenRequest, ExplainTokenResponse},
};

use super::super::{
    client::Client,
    failure::Failure,
    output::{self, OutputArgs},
};

/// `token explain`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Explain {
    /// The token's ID, or `-` to read an ID or a plaintext from stdin.
    // Anything is taken here, and refused below: clap would repeat it, and it may be a plaintext.
    #[arg(value_name = "TOKEN_ID|-", num_args = 1.., hide_possible_values = true)]
    token: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass token explain`.
pub(super) fn run(args: &Explain) -> Result<(), Failure> {
    let text = match &args.token[..] {
        [dash] if dash == "-" => read_pasted(io::stdin().lock(), "stdin")
            .map_err(|_| Failure::failed("stdin holds no token"))?,
        [id] if TokenId::parse(id).is_some() => Secret::new(id.clone()),
        _ => {
            return Err(Failure::usage(
                "give a token's ID, or - and the ID or the plaintext on stdin: a plaintext is never an argument",
            ));
        }
    };
    let client = Client::new(&args.target)?;
    let explanation = client.call(&request(text.expose())?)?;
    if args.output.json {
        output::reply(&explanation)?;
    } else {
        print(&explanation)?;
    }
    Ok(())
}

/// A plaintext is not sent, but its hash.
fn request(text: &str) -> Result<ExplainTokenRequest, Failure> {
    if let Some(id) = TokenId::from_paste(text) {
        return Ok(ExplainTokenRequest {
            token_id: id.to_string(),
            plaintext_sha256: Vec::new(),
        });
    }
    let token = PresentedToken::from_paste(text)
        .map_err(|error| Failure::failed(format!("the text on stdin {error}")))?;
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
