//! Why a command did not do what it was asked: a line for people, with what helps in lines below it, and one code for
//! scripts.

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
        Contradiction,
        environment::{AdminPasswordError, UnknownVariable},
        logins::LoginError,
        password_file::PasswordFileError,
        target::TokenError,
    },
    store::{Fatal, OpenError},
};

use super::{exit_code::ExitCode, output};

/// A failure of a command.
#[derive(Debug)]
pub(super) struct Failure {
    code: ExitCode,
    message: Option<String>,
    /// What helps, below the message.
    lines: Vec<String>,
    /// The code of the RPC that a server has refused.
    rpc: Option<String>,
}

impl Failure {
    /// With `code`, and a sentence that says what to do.
    pub(super) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(message.into()),
            lines: Vec::new(),
            rpc: None,
        }
    }

    /// A server has refused a call with an RPC's code.
    pub(super) fn refused(rpc: String, message: String) -> Self {
        Self {
            rpc: Some(rpc),
            ..Self::failed(message)
        }
    }

    /// Whether a server has refused a call with this code.
    pub(super) fn is_refused_as(&self, rpc: &str) -> bool {
        self.rpc.as_deref() == Some(rpc)
    }

    /// Tells which one, where a server has refused a call since there is none.
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

    /// With `code`, all being said already or nobody there to be told.
    pub(super) const fn silent(code: ExitCode) -> Self {
        Self {
            code,
            message: None,
            lines: Vec::new(),
            rpc: None,
        }
    }

    /// Whatever has no code of its own.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Failed, message)
    }

    /// With a line below its message.
    pub(super) fn with_line(mut self, line: String) -> Self {
        self.lines.push(line);
        self
    }

    /// With more to say behind its message.
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

    /// With the flag that set a field of the request's filter in that field's place.
    pub(super) fn by_flag(mut self) -> Self {
        let field = |message: &str| Some(format!("--{}", message.strip_prefix("filter.")?));
        if let Some(message) = self.message.as_deref().and_then(field) {
            self.message = Some(message);
        }
        self
    }

    /// With `code` where it has none of its own.
    pub(super) fn or_code(mut self, code: ExitCode) -> Self {
        if self.code == ExitCode::Failed {
            self.code = code;
        }
        self
    }

    /// The code for scripts.
    pub(super) const fn code(&self) -> ExitCode {
        self.code
    }

    /// Tells people, on stderr.
    pub(super) fn print(&self) {
        if let Some(text) = self.text() {
            drop(io::stderr().write_all(text.as_bytes()));
        }
    }

    /// All that people are told, whole lines.
    pub(super) fn text(&self) -> Option<String> {
        let message = self.message()?;
        let lines = self.lines.iter().map(|line| output::shown(line) + "\n");
        Some(format!(
            "hallpass: {message}\n{}",
            lines.collect::<String>()
        ))
    }

    /// What went wrong, on one line.
    pub(super) fn message(&self) -> Option<String> {
        let message = self.message.as_ref()?;
        let lines: Vec<_> = message.lines().map(str::trim).collect();
        Some(output::shown(&lines.join(" ")))
    }
}

/// What else can be done about a file that others may read. Kubernetes' `fsGroup` lets a group in at each start.
pub(super) const OPEN_PERMISSIONS: &str = "; or, where they are meant to, as the group of a volume is, give \
     --allow-open-permissions (HALLPASS_ALLOW_OPEN_PERMISSIONS)";

/// What else there is where a command finds no database: most likely it was called from another folder.
const ELSEWHERE: &str = ": name the right one with --database-url (HALLPASS_DATABASE_URL), or a server with --server \
     (HALLPASS_SERVER) or `hallpass login`. A new one is made by `hallpass serve`";

/// Behind "give the right path".
const BY_SETTING: &str = " with --database-url (HALLPASS_DATABASE_URL)";

/// The operator stands at the machine: unlike a client, it is told the causes too.
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
            OpenError::Missing { .. } | OpenError::FolderMissing { .. } => ExitCode::Missing,
            OpenError::FolderNotWritable { .. } | OpenError::FileNotWritable { .. } => {
                ExitCode::NotWritable
            }
            OpenError::OpenPermissions { .. } => ExitCode::OpenPermissions,
            OpenError::NotADatabase { .. }
            | OpenError::Foreign { .. }
            | OpenError::DanglingLink { .. }
            | OpenError::NotAFile { .. } => ExitCode::NotADatabase,
            OpenError::NewerSchema { .. } => ExitCode::NewerSchema,
            OpenError::OlderSchema { .. } => ExitCode::OlderSchema,
            OpenError::AlreadyServed { .. } => ExitCode::AlreadyServed,
            OpenError::SyncFailed { .. } => ExitCode::SyncFailed,
            OpenError::SqliteTooOld { .. }
            | OpenError::LogElsewhere { .. }
            | OpenError::NetworkFileSystem { .. }
            | OpenError::Io { .. }
            | OpenError::Database { .. } => ExitCode::CannotOpen,
        };
        let advice = match &error {
            OpenError::Missing { .. } => ELSEWHERE,
            OpenError::FolderMissing { .. } => BY_SETTING,
            OpenError::OpenPermissions { .. } => OPEN_PERMISSIONS,
            _ => "",
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

/// How long the last line of a process waits for whoever reads stderr.
const LAST_LINE: Duration = Duration::from_secs(1);

/// Ends a process whose database leaves nothing to rely on, with one line that says so.
pub(super) fn end(fatal: Fatal) -> ! {
    let failure = Failure::from(fatal);
    let code = failure.code();
    let (told, is_told) = mpsc::channel::<()>();
    let tell = move || {
        failure.print();
        drop(told);
    };
    drop(thread::Builder::new().spawn(tell));
    let _told_or_late = is_told.recv_timeout(LAST_LINE);
    process::exit(code.number().into())
}

impl From<UnknownVariable> for Failure {
    fn from(error: UnknownVariable) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<Contradiction> for Failure {
    fn from(error: Contradiction) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<AdminPasswordError> for Failure {
    fn from(error: AdminPasswordError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<PasswordFileError> for Failure {
    fn from(error: PasswordFileError) -> Self {
        Self::failed(error.to_string())
    }
}

/// Of writing to stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // `hallpass token list | head -1`: not a failure of ours, and not a success.
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
    fn a_reader_that_has_gone_is_told_nothing() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.message(), None);
    }
}
