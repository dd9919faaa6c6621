//! `hallpass status`: which server or database commands work on, why, and its state.

use std::path::Path;

use clap::Args;
use pbjson_types::Duration as ProtoDuration;
use serde_json::json;

use crate::{
    config::target::{TargetArgs, Why},
    domain::lifetime,
    proto::hallpass::v1::{
        GetServerStatusRequest, GetServerStatusResponse, ServerCounts, ServerPolicies,
        TokenLifetimes,
    },
};

use super::{
    client::Client,
    exit_code::ExitCode,
    failure::Failure,
    output::{self, OutputArgs},
    plural,
};

#[derive(Args, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

struct StatusReport {
    status: GetServerStatusResponse,
    is_embedded: bool,
    /// Why the token was refused, if it was.
    refused: Option<String>,
}

pub(super) fn run(args: &Status) -> Result<(), Failure> {
    let client = Client::with_any_token(&args.target)?;
    let (target, why, token) = (client.name(), client.why(), token(&client));
    let token_source = client.token_source().map(|source| source.to_string());
    let report = ask(client);
    let found = report.as_ref().ok();
    let refused = found.and_then(|report| report.refused.as_ref());
    if args.output.json {
        let server = found.map(|report| output::to_json(&report.status));
        output::json(&json!({
            "target": target,
            "why": why.to_string(),
            "tokenSource": token_source,
            "tokenRefused": refused,
            "embedded": found.map(|report| report.is_embedded),
            "server": server.transpose()?,
        }))?;
    } else {
        let mut fields = vec![("Target", target), ("Chosen", why.to_string())];
        let database = &args.target.store.database_url;
        if why == Why::Login && database.exists() {
            fields.push(("Not chosen", not_chosen(database)));
        }
        let token = match refused {
            Some(problem) => format!("{token}, which is refused: {problem}"),
            None => token,
        };
        fields.push(("Token", token));
        match found {
            Some(report) => fields.extend(describe(report)),
            None => fields.push(("Ready", "no".to_owned())),
        }
        output::fields(fields)?;
    }
    if report?.status.ready {
        Ok(())
    } else {
        Err(Failure::new(ExitCode::NotReady, "the server is not ready"))
    }
}

fn not_chosen(database: &Path) -> String {
    let path = database.display();
    format!("the database {path}: give `--database-url sqlite:{path}` to use it")
}

fn token(client: &Client) -> String {
    match client.token_source() {
        Some(source) => format!("that {source}"),
        None if client.is_remote() => "none".to_owned(),
        None => "not needed".to_owned(),
    }
}

/// Asks without the token if the server refuses it.
fn ask(client: Client) -> Result<StatusReport, Failure> {
    let (failure, client) = match call(&client) {
        Ok(report) => return Ok(report),
        Err(failure) => (failure, client),
    };
    if !client.is_remote() || client.token_source().is_none() {
        return Err(not_ready(failure));
    }
    let is_about_the_token = failure.is_refused_as("unauthenticated");
    // Without its database, a server cannot check tokens.
    if !is_about_the_token && !failure.is_refused_as("unavailable") {
        return Err(not_ready(failure));
    }
    let report = call(&client.without_token()).map_err(not_ready)?;
    let refused = failure.message().filter(|_| is_about_the_token);
    Ok(StatusReport { refused, ..report })
}

fn not_ready(failure: Failure) -> Failure {
    if failure.is_refused_as("unavailable") {
        failure.or_code(ExitCode::NotReady)
    } else {
        failure
    }
}

fn call(client: &Client) -> Result<StatusReport, Failure> {
    client.run(async |session| {
        Ok(StatusReport {
            status: session.call(&GetServerStatusRequest {}).await?,
            is_embedded: session.is_embedded(),
            refused: None,
        })
    })
}

fn describe(report: &StatusReport) -> Vec<(&'static str, String)> {
    let status = &report.status;
    let version = &status.version;
    let server = if report.is_embedded {
        format!("none runs on this database; commands ({version}) open it themselves")
    } else {
        format!("hallpass {version}")
    };
    let ready = match (status.ready, status.disk_full) {
        (false, _) => "no",
        (true, true) => {
            "yes, but the disk is full: tokens can be checked and revoked, but nothing else can be changed"
        }
        (true, false) => "yes",
    };
    let mut fields = vec![("Server", server), ("Ready", ready.to_owned())];
    if status.audit_sink_failing {
        fields.push((
            "Audit sink",
            "takes no rows; they follow when it does".to_owned(),
        ));
    }
    if let Some(counts) = &status.counts {
        fields.extend(describe_counts(counts));
    }
    if let Some(policies) = &status.policies {
        fields.extend(describe_policies(policies));
    }
    fields
}

fn describe_counts(counts: &ServerCounts) -> [(&'static str, String); 2] {
    let people = plural::of(counts.people, "person", "people");
    let machines = plural::count(counts.machines, "machine");
    let deactivated = counts.deactivated_users;
    let (active, disabled, expired) = (
        counts.live_tokens,
        counts.disabled_tokens,
        counts.expired_tokens,
    );
    [
        (
            "Users",
            format!("{people}, {machines}; deactivated: {deactivated}"),
        ),
        (
            "Tokens",
            format!("{active} active, {disabled} disabled, {expired} expired"),
        ),
    ]
}

fn describe_policies(policies: &ServerPolicies) -> Vec<(&'static str, String)> {
    let lifetimes = |of: &Option<TokenLifetimes>| describe_lifetimes(&of.unwrap_or_default());
    let children = if policies.token_children_forbidden {
        "may not be created with tokens"
    } else {
        "may be created with tokens"
    };
    let checks = match policies.token_requests_per_minute {
        0 => "without a limit".to_owned(),
        often => format!("at most {} per minute", plural::count(often, "time")),
    };
    vec![
        ("Tokens of people", lifetimes(&policies.person_tokens)),
        ("Tokens of machines", lifetimes(&policies.machine_tokens)),
        (
            "All tokens",
            format!(
                "begin with {}_, {children}, are verified {checks}; at most {} live ones per user",
                policies.token_prefix, policies.max_tokens_per_user
            ),
        ),
    ]
}

fn describe_lifetimes(of: &TokenLifetimes) -> String {
    let show = |duration: &ProtoDuration| {
        let seconds = u64::try_from(duration.seconds).unwrap_or_default();
        lifetime::show(std::time::Duration::from_secs(seconds))
    };
    let max = match (&of.max_ttl, of.must_expire) {
        (Some(max), _) => format!("expire after {} at most", show(max)),
        (None, true) => "must expire".to_owned(),
        (None, false) => "may never expire".to_owned(),
    };
    match &of.default_ttl {
        Some(default) => format!("{max}; after {} by default", show(default)),
        None => max,
    }
}
