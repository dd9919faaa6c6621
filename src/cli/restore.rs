//! `hallpass restore`: puts a backup in the place of a database that no server has open.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf, absolute},
};

use clap::Args;
use serde_json::json;

use crate::{
    app,
    config::target::TargetArgs,
    domain::{
        audit::ChainHead,
        clock::{Clock as _, SystemClock},
    },
    store::{
        self, Ended, EngineOptions, NewerRevocations, OpenAs, Restore, Restored, SqliteOptions,
        StoreOptions,
    },
};

use super::{
    confirmation::{self, Confirmation},
    exit_code::ExitCode,
    failure::{self, Failure},
    output::{self, OutputArgs},
    plural,
};

const USER_AGENT: &str = concat!("hallpass/", env!("CARGO_PKG_VERSION"));

const CHOOSE: &str = "give --keep-newer-revocations, so that what has ended since the backup stays ended, or \
     --forget-newer-revocations, so that it is valid again";

#[derive(Args, Debug)]
pub(super) struct RestoreArgs {
    /// The backup, which is not changed, or `-` for stdin.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What the database that is there has ended or limited since the backup stays so.
    #[arg(long, conflicts_with = "forget_newer_revocations")]
    keep_newer_revocations: bool,
    /// Tokens that were revoked, users that were deleted, and passwords that were changed since the backup are valid again.
    #[arg(long)]
    forget_newer_revocations: bool,
    /// Restore a backup in which something is wrong.
    #[arg(long)]
    accept_findings: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    target: TargetArgs,
}

impl RestoreArgs {
    const fn newer(&self) -> Option<NewerRevocations> {
        match (self.keep_newer_revocations, self.forget_newer_revocations) {
            (true, _) => Some(NewerRevocations::Keep),
            (_, true) => Some(NewerRevocations::Forget),
            (false, false) => None,
        }
    }

    fn store(&self) -> Result<StoreOptions, Failure> {
        let chosen = self.target.choose()?;
        if let Some(server) = chosen.server {
            return Err(Failure::usage(format!(
                "a backup is restored into a file, on the machine where it is, and not through the server {server} (chosen \
                 {}): give --database-url",
                chosen.why
            )));
        }
        Ok(StoreOptions {
            on_fatal: failure::end,
            ..self.target.store.options(OpenAs::Serve)
        })
    }
}

pub(super) fn run(args: &RestoreArgs) -> Result<(), Failure> {
    let options = args.store()?;
    let EngineOptions::Sqlite(SqliteOptions { path, .. }) = &options.engine;
    let name = absolute(path).unwrap_or_else(|_| path.clone());
    let name = format!("sqlite:{}", name.display());
    let mut backup = open(&args.file, path)?;
    let is_replacing = Restore::is_replacing(&options)?;
    let mut newer = args.newer();
    if is_replacing {
        let can_ask = io::stdin().is_terminal() && !args.confirmation.is_given();
        if newer.is_none() && !can_ask {
            return Err(Failure::usage(format!(
                "there is a database at {name}: {CHOOSE}"
            )));
        }
        args.confirmation.check()?;
    }
    let mut restore = Restore::prepare(&options, &mut backup)?;
    // Before the migration, which may fail on what is damaged; and after, since only then the audit log can be read.
    check(args, &restore)?;
    restore.migrate()?;
    check(args, &restore)?;
    if is_replacing && !args.confirmation.is_given() {
        newer = Some(ask(&mut restore, &name, newer)?);
    }
    let schema = restore.found().schema;
    let backup_head = restore.found().head;
    let uid = rustix::process::getuid().as_raw();
    let now = SystemClock.now();
    let chosen = newer.unwrap_or(NewerRevocations::Keep);
    let mut replaced = None;
    let restored = restore.put_in_place(chosen, now, |is_replacing, ended, head| {
        replaced = head;
        let newer = newer.filter(|_| is_replacing);
        app::backup::restored(now, uid, USER_AGENT, newer, ended, head)
    })?;
    print(args, &name, schema, [backup_head, restored.head], &restored)
}

/// Opens the backup, unless it is a database in use or the one that is to be replaced.
fn open(file: &Path, database: &Path) -> Result<Box<dyn Read>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let shown = file.display();
    let cannot = |error: io::Error| Failure::failed(format!("cannot read {shown}: {error}"));
    let opened = File::open(file).map_err(cannot)?;
    let found = opened.metadata().map_err(cannot)?;
    if !found.is_file() {
        let kind = store::file_type_name(found.file_type());
        return Err(Failure::failed(format!("{shown} is {kind}, not a file")));
    }
    let same = database.metadata();
    if same.is_ok_and(|there| (there.dev(), there.ino()) == (found.dev(), found.ino())) {
        return Err(Failure::failed(format!(
            "{shown} is the database itself, not a backup of it"
        )));
    }
    for suffix in ["-wal", "-journal"] {
        let mut log = file.as_os_str().to_owned();
        log.push(suffix);
        let log = PathBuf::from(log);
        if log.metadata().is_ok_and(|log| log.len() > 0) {
            let log = log.display();
            return Err(Failure::failed(format!(
                "{shown} is no backup: its latest changes are in {log}. If no server has it open, `hallpass backup NEW \
                 --database-url sqlite:{shown}` makes one of both"
            )));
        }
    }
    Ok(Box::new(opened))
}

/// Refuses a backup in which something is wrong, unless that is accepted.
fn check(args: &RestoreArgs, restore: &Restore) -> Result<(), Failure> {
    let found = restore.found();
    let mut findings = found.findings.clone();
    findings.extend(found.breaks.iter().map(|broken| {
        format!(
            "row {} of its audit log: {}",
            broken.sequence, broken.problem
        )
    }));
    let (Some(first), count) = (findings.first(), findings.len()) else {
        return Ok(());
    };
    if args.accept_findings {
        for finding in &findings {
            output::hint(finding);
        }
        return Ok(());
    }
    let code = if found.findings.is_empty() {
        ExitCode::AuditBroken
    } else {
        ExitCode::DataDamaged
    };
    let things = plural::of(count, "thing is", "things are");
    Err(Failure::new(
        code,
        format!(
            "{things} wrong with the backup, first: {first}. Take another, or give --accept-findings; nothing was changed"
        ),
    ))
}

/// Shows what would become valid again, and asks what is to become of it, or whether to go on.
fn ask(
    restore: &mut Restore,
    name: &str,
    newer: Option<NewerRevocations>,
) -> Result<NewerRevocations, Failure> {
    let ended = match restore.compare(SystemClock.now()) {
        Ok(ended) => ended,
        Err(error) if newer == Some(NewerRevocations::Forget) => {
            output::hint(&error.to_string());
            None
        }
        Err(error) => return Err(error.into()),
    };
    let since = match &ended {
        Some(Ended { tokens, users, .. }) => format!(
            "{} and {} have ended or been limited since this backup",
            plural::count(*tokens, "token"),
            plural::count(*users, "user"),
        ),
        None => "it is not known what has ended since this backup".to_owned(),
    };
    if ended.as_ref().is_some_and(|ended| !ended.is_later) {
        output::hint(
            "The database that is there is no later state of this backup: tokens that it does not know count as ended.",
        );
    }
    let (question, answers): (String, &[_]) = match newer {
        None => (
            format!(
                "On {name}: {since}. Keep that, or forget it, so that they are valid again? [keep/forget/N]"
            ),
            &[
                ("keep", NewerRevocations::Keep),
                ("forget", NewerRevocations::Forget),
            ],
        ),
        Some(newer @ NewerRevocations::Keep) => (
            format!("On {name}: {since}, and stay so. Replace the database? [y/N]"),
            &[("y", newer), ("yes", newer)],
        ),
        Some(newer @ NewerRevocations::Forget) => (
            format!("On {name}: {since}, and will be valid again. Replace the database? [y/N]"),
            &[("y", newer), ("yes", newer)],
        ),
    };
    confirmation::choose(&question, answers)
}

fn print(
    args: &RestoreArgs,
    name: &str,
    schema: i64,
    [backup, head]: [ChainHead; 2],
    restored: &Restored,
) -> Result<(), Failure> {
    let ended = restored.ended.as_ref();
    let aside = restored
        .kept_aside
        .as_ref()
        .map(|path| path.display().to_string());
    if ended.is_some_and(|ended| !ended.has_admin) {
        output::hint(
            "No active admin is left. `hallpass user set-role` and `hallpass user reactivate` on this machine make one.",
        );
    }
    if args.output.json {
        return Ok(output::json(&json!({
            "database": name,
            "keptAside": aside,
            "backupSchema": schema,
            "backupHead": backup.to_string(),
            "auditHead": head.to_string(),
            "keptEnded": ended.map(|ended| json!({
                "tokens": ended.tokens.to_string(),
                "users": ended.users.to_string(),
            })),
        }))?);
    }
    let mut fields = vec![
        ("Restored", name.to_owned()),
        ("Backup's head", backup.to_string()),
        ("Audit head", head.to_string()),
    ];
    if let Some(ended) = ended {
        let (tokens, users) = (
            plural::count(ended.tokens, "token"),
            plural::count(ended.users, "user"),
        );
        fields.push(("Kept ended", format!("{tokens}, {users}")));
    }
    if let Some(aside) = aside {
        fields.push(("Kept aside", aside));
    }
    Ok(output::fields(fields)?)
}
