//! Why a command failed: a message for people, lines of hints below it, and an exit code for scripts.

use std::{
    error::Error as StdError,
    fmt::Display,
    io::{self, Write as _},
    process,
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    app,
    config::{
        SettingsConflict,
        environment::UnknownVariable,
        file::SettingsFileError,
        logins::LoginError,
        secrets::{SecretError, SecretFileError},
        target::TokenError,
    },
    server::TlsError,
    store::{Error, Fatal, OpenError, RestoreError, SqliteOpenError, Unavailable},
};

use super::{exit_code::ExitCode, output};

/// A failure of a command.
#[derive(Debug)]
pub(super) struct Failure {
    code: ExitCode,
    message: Option<String>,
    /// Hints, printed below the message.
    lines: Vec<String>,
    /// The RPC error code, if a server refused a call.
    rpc: Option<String>,
}

impl Failure {
    pub(super) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(message.into()),
            lines: Vec::new(),
            rpc: None,
        }
    }

    /// A server refused a call.
    pub(super) fn refused(rpc: String, message: String) -> Self {
        Self {
            rpc: Some(rpc),
            ..Self::failed(message)
        }
    }

    /// Whether a server refused a call with this RPC error code.
    pub(super) fn is_refused_as(&self, rpc: &str) -> bool {
        self.rpc.as_deref() == Some(rpc)
    }

    /// Adds what does not exist, if that is why a server refused a call.
    pub(super) fn naming(self, name: impl Display) -> Self {
        if self.is_refused_as("not_found") {
            self.and(&name.to_string())
        } else {
            self
        }
    }

    /// Wrong arguments.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// An exit code without a message, because all is said already or nobody reads it.
    pub(super) const fn silent(code: ExitCode) -> Self {
        Self {
            code,
            message: None,
            lines: Vec::new(),
            rpc: None,
        }
    }

    /// A failure without an exit code of its own.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Failed, message)
    }

    /// Adds a hint below the message.
    pub(super) fn with_line(mut self, line: String) -> Self {
        self.lines.push(line);
        self
    }

    /// Adds hints below the message.
    pub(super) fn with_lines<'a>(mut self, lines: impl IntoIterator<Item = &'a str>) -> Self {
        self.lines.extend(lines.into_iter().map(str::to_owned));
        self
    }

    /// Adds a hint if a server refused a call with this RPC error code.
    pub(super) fn hint_if(self, rpc: &str, hint: &str) -> Self {
        if self.is_refused_as(rpc) {
            self.with_line(hint.to_owned())
        } else {
            self
        }
    }

    /// Appends to the message.
    pub(super) fn and(mut self, more: &str) -> Self {
        if self.code == ExitCode::ReaderGone {
            self.code = ExitCode::Failed;
        }
        self.message = Some(match self.message {
            Some(message) => format!("{message}: {more}"),
            None => more.to_owned(),
        });
        self
    }

    /// Names the flag instead of the field of the request's filter that it set.
    pub(super) fn by_flag(mut self) -> Self {
        let field = |message: &str| Some(format!("--{}", message.strip_prefix("filter.")?));
        if let Some(message) = self.message.as_deref().and_then(field) {
            self.message = Some(message);
        }
        self
    }

    /// Sets the exit code unless there is a specific one.
    pub(super) fn or_code(mut self, code: ExitCode) -> Self {
        if self.code == ExitCode::Failed {
            self.code = code;
        }
        self
    }

    pub(super) const fn code(&self) -> ExitCode {
        self.code
    }

    /// Prints it on stderr.
    pub(super) fn print(&self) {
        if let Some(text) = self.text() {
            drop(io::stderr().write_all(text.as_bytes()));
        }
    }

    /// What [`print`](Self::print) prints.
    pub(super) fn text(&self) -> Option<String> {
        let message = self.message()?;
        let lines = self.lines.iter().map(|line| output::safe(line) + "\n");
        Some(format!(
            "hallpass: {message}\n{}",
            lines.collect::<String>()
        ))
    }

    /// The message, on one line.
    pub(super) fn message(&self) -> Option<String> {
        let message = self.message.as_ref()?;
        let lines: Vec<_> = message.lines().map(str::trim).collect();
        Some(output::safe(&lines.join(" ")))
    }
}

/// The alternative for a file that others may read. Kubernetes' `fsGroup` opens it to a group at each start.
pub(super) const OPEN_PERMISSIONS: &str = "; or, if they are meant to, like the group of a volume, give \
     --allow-open-permissions (HALLPASS_ALLOW_OPEN_PERMISSIONS)";

/// What to do about a missing database. Most likely the command ran in the wrong folder.
const NAME_THE_TARGET: &str = ": give the right one with --database-url (HALLPASS_DATABASE_URL), or a server with --server \
     (HALLPASS_SERVER) or `hallpass login`. `hallpass serve` creates a new one";

/// What to do about a disk that was full during a migration.
const FREE_SPACE: &str = ": free as much space as the database takes, and start it again. The version before the upgrade can \
     open the database, too";

/// Follows "give the right path".
const BY_SETTING: &str = " with --database-url (HALLPASS_DATABASE_URL)";

/// Unlike a client of the API, the operator may see the causes.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        Self::failed(with_causes(&error))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let code = match &error {
            OpenError::Missing { .. } => ExitCode::Missing,
            OpenError::Foreign { .. } => ExitCode::NotADatabase,
            OpenError::NewerSchema { .. } => ExitCode::NewerSchema,
            OpenError::OlderSchema { .. } => ExitCode::OlderSchema,
            OpenError::AlreadyServed { .. } => ExitCode::AlreadyServed,
            OpenError::SyncFailed { .. } => ExitCode::SyncFailed,
            OpenError::Database { .. }
            | OpenError::AlteredSchema { .. }
            | OpenError::Migration { .. } => ExitCode::CannotOpen,
            OpenError::Sqlite(error) => match error {
                SqliteOpenError::FolderMissing { .. } => ExitCode::Missing,
                SqliteOpenError::FolderNotWritable { .. }
                | SqliteOpenError::FileNotWritable { .. } => ExitCode::NotWritable,
                SqliteOpenError::OpenPermissions { .. } => ExitCode::OpenPermissions,
                SqliteOpenError::NotADatabase { .. }
                | SqliteOpenError::DanglingLink { .. }
                | SqliteOpenError::NotAFile { .. } => ExitCode::NotADatabase,
                SqliteOpenError::TooOld { .. }
                | SqliteOpenError::LogElsewhere { .. }
                | SqliteOpenError::NetworkFileSystem { .. }
                | SqliteOpenError::Io { .. } => ExitCode::CannotOpen,
            },
        };
        let advice = match &error {
            OpenError::Missing { .. } => NAME_THE_TARGET,
            OpenError::Sqlite(SqliteOpenError::FolderMissing { .. }) => BY_SETTING,
            OpenError::Migration {
                source: Error::Unavailable { kind, .. },
                ..
            } if *kind == Unavailable::Full => FREE_SPACE,
            OpenError::Sqlite(SqliteOpenError::OpenPermissions { .. }) => OPEN_PERMISSIONS,
            _ => "",
        };
        Self::new(code, with_causes(&error) + advice)
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        let (code, advice) = match error {
            RestoreError::Open(error) => return error.into(),
            RestoreError::Running { .. } | RestoreError::Appeared { .. } => {
                (ExitCode::AlreadyServed, "")
            }
            RestoreError::Unreadable { .. } => (
                ExitCode::DataDamaged,
                "; with --forget-newer-revocations it is kept aside unread: then revoke again what has ended since the \
                 backup, as the audit log that you keep elsewhere tells",
            ),
            RestoreError::Copy { .. } | RestoreError::Place { .. } | RestoreError::Backup(_) => {
                (ExitCode::Failed, "")
            }
        };
        Self::new(code, with_causes(&error) + advice)
    }
}

impl From<Fatal> for Failure {
    fn from(fatal: Fatal) -> Self {
        let code = match &fatal {
            Fatal::SyncFailed { .. } => ExitCode::SyncFailed,
            Fatal::Moved { .. } => ExitCode::Moved,
        };
        Self::new(code, with_causes(&fatal))
    }
}

/// How long a process that ends waits for its last line to be written.
const LAST_LINE_TIMEOUT: Duration = Duration::from_secs(1);

/// Ends the process because its database can no longer be relied on.
pub(super) fn end(fatal: Fatal) -> ! {
    let failure = Failure::from(fatal);
    let code = failure.code();
    let (told, is_told) = mpsc::channel::<()>();
    let tell = move || {
        failure.print();
        drop(told);
    };
    drop(thread::Builder::new().spawn(tell));
    let _told_or_late = is_told.recv_timeout(LAST_LINE_TIMEOUT);
    process::exit(code.number().into())
}

macro_rules! from_message {
    ($($error:ty => $constructor:ident;)*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::$constructor(error.to_string())
            }
        })*
    };
}

from_message! {
    UnknownVariable => usage;
    TokenError => usage;
    SettingsConflict => usage;
    SettingsFileError => usage;
    SecretError => usage;
    LoginError => failed;
    SecretFileError => failed;
    TlsError => failed;
}

/// An error of writing to stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // `hallpass token list | head -1` is neither a failure nor a success.
            io::ErrorKind::BrokenPipe => Self::silent(ExitCode::ReaderGone),
            _ => Self::failed(format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        let failure = Failure::failed("first\n  second");
        assert_eq!(failure.message().as_deref(), Some("first second"));
    }

    #[test]
    fn a_closed_pipe_is_no_message() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.message(), None);
    }
}
