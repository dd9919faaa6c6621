//! `hallpass token inspect`: what a plaintext tells by itself. It opens no database, and the plaintext is
//! never an argument: every process on the machine could read it there.

use std::io::{self, IsTerminal};

use clap::Args;
use serde_json::json;

use crate::{config::password_file::read_pasted, domain::token_text::TokenText};

use super::super::{
    failure::Failure,
    output::{self, OutputArgs},
    password_input::prompt,
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
    if args.from.iter().any(|from| from != "-") {
        return Err(Failure::usage(
            "a plaintext is never an argument: pipe it in, or leave it out and be asked. \
             Others may have seen this one; if it was real, delete the token",
        ));
    }
    let secret = if args.from.is_empty() && io::stdin().is_terminal() {
        prompt("Token: ")?
    } else {
        read_pasted(io::stdin().lock(), "stdin")
            .map_err(|_| Failure::failed("stdin holds no token"))?
    };
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
