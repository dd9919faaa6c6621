//! `hallpass migrate`: brings a database to the schema of this program without serving it.

use clap::Args;
use serde_json::json;

use crate::{
    app::audit,
    config::{file::FileArgs, store::StoreArgs},
    domain::clock::{Clock as _, SystemClock},
    store::{self, OpenAs, SchemaChange, StoreOptions},
};

use super::{
    failure::Failure,
    output::{self, OutputArgs},
    version::VERSION,
};

#[derive(Args, Debug)]
pub(super) struct Migrate {
    /// Only print which migrations are pending. Changes nothing, and may be used while a server runs.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    _file: FileArgs,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &Migrate) -> Result<(), Failure> {
    let uid = rustix::process::getuid().as_raw();
    let options = StoreOptions {
        migration_event: Some(Box::new(audit::migration_event(
            SystemClock.now(),
            Some(uid),
        ))),
        on_migration: |step| output::hint(&format!("migrating the database: {step}")),
        ..args.store.options(OpenAs::Serve)
    };
    let change = if args.dry_run {
        store::pending_migrations(&options)?
    } else {
        store::migrate(&options)?
    };
    if let Some(warning) = change.warning {
        output::hint(warning);
    }
    if args.output.json {
        return Ok(output::json(&in_json(&change, args.dry_run))?);
    }
    output::line(&sentence(&change, args.dry_run))?;
    if args.dry_run && change.from > 0 {
        for step in &change.steps {
            output::line(&format!("  {step}"))?;
        }
    }
    Ok(())
}

fn sentence(change: &SchemaChange, dry_run: bool) -> String {
    let SchemaChange { from, to, .. } = change;
    let path = change.path.display();
    match (from, dry_run) {
        (0, false) => format!("created {path} with schema {to}"),
        (0, true) => {
            format!("there is no database at {path}: it would be created with schema {to}")
        }
        _ if from == to => format!("nothing to do: {path} has schema {to}"),
        (_, true) => {
            format!("{path} has schema {from}, and hallpass {VERSION} needs {to}. Pending:")
        }
        (_, false) => format!(
            "migrated {path} from schema {from} to {to} in {:.1} s",
            change.duration.as_secs_f64()
        ),
    }
}

fn in_json(change: &SchemaChange, dry_run: bool) -> serde_json::Value {
    let steps = change.steps.iter();
    let steps: Vec<_> = steps
        .map(|step| json!({ "schema": step.schema, "name": step.name }))
        .collect();
    json!({
        "database": change.path.display().to_string(),
        "dryRun": dry_run,
        "fromSchema": change.from,
        "toSchema": change.to,
        "fromVersion": change.from_version,
        "toVersion": VERSION,
        "migrations": steps,
        "durationMillis": u64::try_from(change.duration.as_millis()).unwrap_or(u64::MAX),
    })
}
