//! The settings of the audit log.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use super::{SettingsConflict, values};
use crate::app::{
    AppOptions,
    audit_sink::{SinkOptions, SinkTarget},
};

/// How long audit rows are kept, and where else they go.
#[derive(Args, Debug)]
#[command(next_help_heading = "Audit log")]
pub struct AuditArgs {
    /// How long rows of the audit log are kept before they are purged: a day or longer, such as 400d. Not set: for ever.
    #[arg(long, env, value_name = "DURATION", value_parser = values::audit_retention)]
    pub audit_retention: Option<Duration>,

    /// A second place that each audit row is written to as it happens, as a line of JSON: `file:PATH`, which may be a named
    /// pipe, or `stdout`. The file is opened again on SIGHUP and when it is moved.
    #[arg(long, env, value_name = "SINK", value_parser = sink)]
    pub audit_sink: Option<SinkTarget>,

    /// Answer a change, or an admin's read of others' data, only once its row is in the audit sink; otherwise the answer is
    /// unavailable, while what was done stands. Needs --audit-sink.
    #[arg(long, env)]
    pub audit_required: bool,
}

impl AuditArgs {
    /// Writes these settings into `options`.
    ///
    /// # Errors
    /// A sink is required and there is none.
    pub fn apply(&self, options: &mut AppOptions) -> Result<(), SettingsConflict> {
        if self.audit_required && self.audit_sink.is_none() {
            return Err(SettingsConflict::Missing {
                setting: "audit-required",
                needed: "audit-sink",
            });
        }
        options.audit_retention = self.audit_retention;
        options.audit_sink = self.audit_sink.clone().map(|target| SinkOptions {
            target,
            required: self.audit_required,
            reopen: Arc::default(),
        });
        Ok(())
    }
}

/// For clap: reads where the rows go.
fn sink(text: &str) -> Result<SinkTarget, String> {
    let path = text.strip_prefix("file:").map(str::trim);
    match (text, path) {
        ("stdout", _) => Ok(SinkTarget::Stdout),
        (_, Some("")) => Err("must name a file after file:".to_owned()),
        (_, Some(path)) => Ok(SinkTarget::File(PathBuf::from(path))),
        _ => Err("must be file:PATH or stdout".to_owned()),
    }
}
