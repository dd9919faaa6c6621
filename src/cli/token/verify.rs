//! `hallpass token verify`: what the server says of a plaintext, which is never an argument: every process on the
//! machine could read it there.

use clap::Args;

use crate::{
    config::target::TargetArgs,
    domain::{
        clock::{Clock, SystemClock},
        presented_token::PresentedToken,
    },
    proto::hallpass::v1::{Reason, VerifyTokenRequest, VerifyTokenResponse},
};

use super::super::{
    client::Client,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, OutputArgs, or_dash},
    password_input::read_plaintext,
    relative_time, user_view,
};

/// `token verify`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Verify {
    /// `-` for stdin, which is also read where this is left out; on a terminal it is asked for.
    // Anything is taken here, and refused below: clap would repeat it, and it may be a plaintext.
    #[arg(value_name = "-", num_args = 0.., hide_possible_values = true)]
    from: Vec<String>,
    /// A scope that the token must have. May be repeated, or several with commas.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// The address that the token is used from. A token that is bound to networks is not valid without one.
    #[arg(long, value_name = "IP", default_value = "", hide_default_value = true)]
    client_ip: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs `hallpass token verify`.
pub(super) fn run(args: Verify) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let plaintext = read_plaintext(&args.from)?;
    let has_address = !args.client_ip.is_empty();
    let verified = client.call(&VerifyTokenRequest {
        token: plaintext.expose().to_owned(),
        required_scopes: args.scopes,
        client_ip: args.client_ip,
    })?;
    let valid = verified.valid;
    if args.output.json {
        output::reply(&verified)?;
    } else if valid {
        output::fields(describe(verified))?;
    } else {
        match (
            verified.reason(),
            PresentedToken::from_paste(plaintext.expose()),
        ) {
            (Reason::CredentialsInvalid, Err(error)) => {
                output::line(&format!("not valid: it {error}"))?;
            }
            (reason, _) => {
                output::line(&format!("not valid: {}", why(reason, has_address)))?;
                output::hint("`hallpass token explain -` tells more, to who may see the token.");
            }
        }
    }
    if valid {
        Ok(())
    } else {
        Err(Failure::silent(ExitCode::Failed))
    }
}

fn describe(verified: VerifyTokenResponse) -> [(&'static str, String); 7] {
    let (token, user) = (
        verified.token.unwrap_or_default(),
        verified.user.unwrap_or_default(),
    );
    let expires = relative_time::show_expiry(token.expire_time, SystemClock.now());
    let (kind, role) = (user_view::kind(&user), user_view::role(&user));
    [
        ("Valid", "yes".to_owned()),
        ("Token", token.id),
        (
            "User",
            format!("{} ({}): {kind}, {role}", user.username, user.id),
        ),
        ("Expires", expires),
        ("Scopes", or_dash(token.scopes.join(" "))),
        ("Networks", or_dash(token.allowed_cidrs.join(" "))),
        ("Note", token.note),
    ]
}

/// The sentence for a reason of a verification.
fn why(reason: Reason, has_address: bool) -> &'static str {
    match reason {
        Reason::CredentialsInvalid => "it is none of this server's, or its secret is wrong",
        Reason::TokenExpired => "it has expired, or was rotated and its grace is over",
        Reason::TokenDeleted => "it was deleted",
        Reason::TokenDisabled => "it is disabled",
        Reason::UserDeactivated => "its user is deactivated or deleted",
        Reason::ParentInvalid => "the token that it was made with is no longer valid",
        Reason::AddressNotAllowed if has_address => "it may not be used from that address",
        Reason::AddressNotAllowed => {
            "it is bound to networks: say with --client-ip where it is used from"
        }
        Reason::ScopeMissing => "it lacks a scope that was asked for",
        Reason::TokenRateLimited => "it is valid, but used more often than is allowed now",
        other => other.as_str_name(),
    }
}
