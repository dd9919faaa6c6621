//! `hallpass token inspect`: what a plaintext tells by itself. It opens no database, and the plaintext is
//! never an argument: every process on the machine could read it there.

use clap::Args;
use serde_json::json;

use crate::domain::token_text::TokenText;

use super::super::{
    failure::Failure,
    output::{self, OutputArgs},
    password_input::read_plaintext,
};

/// `token inspect`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Inspect {
    /// `-` for stdin, which is also read where this is left out; on a terminal it is asked for.
    // Anything is taken here, and refused below: clap would repeat it, and it may be a plaintext.
    #[arg(value_name = "-", num_args = 0.., hide_possible_values = true)]
    from: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `hallpass token inspect`.
pub(super) fn run(args: &Inspect) -> Result<(), Failure> {
    let secret = read_plaintext(&args.from)?;
    let token = TokenText::from_paste(secret.expose())
        .map_err(|error| Failure::failed(format!("the text {error}")))?;
    let prefix = token.prefix();
    let id = token.id().to_string();
    if args.output.json {
        output::json(&json!({ "id": id, "prefix": prefix }))?;
    } else {
        output::fields([("ID", id), ("Prefix", prefix.to_owned())])?;
        output::hint("Form and checksum are right. Whether it is valid, only the server knows.");
    }
    Ok(())
}
