//! `hallpass token explain`. A plaintext comes from stdin alone: every process on the machine could read it as
//! an argument.

use std::io;

use clap::Args;

use crate::{
    app::{AppOptions, explain::Explanation},
    config::{password_file::read_password, store::StoreArgs},
    domain::{
        clock::{Clock, SystemClock},
        id::TokenId,
        secret::Secret,
    },
};

use super::super::{
    answer::ExplanationAnswer,
    failure::Failure,
    local_app::LocalApp,
    output::{self, OutputArgs},
    relative_time,
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
    store: StoreArgs,
}

/// Runs `hallpass token explain`.
pub(super) fn run(args: &Explain) -> Result<(), Failure> {
    let text = match &args.token[..] {
        [dash] if dash == "-" => read_password(io::stdin().lock(), "stdin")
            .map_err(|_| Failure::failed("stdin holds no token"))?,
        [id] if TokenId::parse(id).is_some() => Secret::new(id.clone()),
        _ => {
            return Err(Failure::usage(
                "give a token's ID, or - and the ID or the plaintext on stdin: a plaintext is never an argument",
            ));
        }
    };
    let local = LocalApp::open(&args.store, AppOptions::default())?;
    let is_id = TokenId::parse(text.expose().trim()).is_some();
    let (explanation, secret_is_right) = local.run(async |app, caller| {
        if is_id {
            let explanation = app.explain_token(caller, text.expose().trim()).await?;
            return Ok((explanation, None));
        }
        let text = Secret::new(text.expose().trim().to_owned());
        let (explanation, right) = app.explain_text(caller, &text).await?;
        Ok((explanation, Some(right)))
    })?;
    if args.output.json {
        output::json(&ExplanationAnswer::new(&explanation, secret_is_right))?;
    } else {
        print(&explanation, secret_is_right)?;
    }
    Ok(())
}

fn print(explanation: &Explanation, secret_is_right: Option<bool>) -> io::Result<()> {
    match secret_is_right {
        None => {}
        Some(true) => output::line("The secret is right.")?,
        Some(false) => {
            output::line("The secret is wrong: only its ID is that of the token below.")?;
        }
    }
    let now = SystemClock.now();
    for sentence in explanation.sentences(|time| relative_time::show(time, now)) {
        output::line(&sentence)?;
    }
    Ok(())
}
