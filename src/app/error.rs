//! The error type of all use cases. `server/error.rs` maps it to what clients get.

use std::{borrow::Cow, error::Error as StdError, time::Duration};

use crate::{
    domain::{
        lifetime::LifetimeError,
        page::PageTokenError,
        reason::Reason,
        scope::OwnScope,
        token::{DisabledBy, Invalid},
        token_text::TokenTextError,
    },
    store,
};

/// Why a use case failed. `Display` is a sentence for the caller, without secrets or internals of the server;
/// `source` has what only the log may show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request has an invalid value.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The caller's credential is missing or was not accepted.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// Too many sign-in attempts.
    #[error("too many attempts to sign in; try again in {}", humantime::format_duration(*retry_after))]
    Throttled {
        /// When to try again, in whole seconds.
        retry_after: Duration,
    },
    /// A valid token is used more often than its rate limit allows.
    #[error("the token is used too often; try again in {}", humantime::format_duration(*retry_after))]
    RateLimited {
        /// When to try again, in whole seconds.
        retry_after: Duration,
    },
    /// The caller may not do this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It does not exist, or the caller may not know that it does.
    #[error("{0}")]
    NotFound(Noun),
    /// The username belongs to a user, or belonged to a deleted one.
    #[error("the username is taken")]
    UsernameTaken,
    /// The current state does not allow it.
    #[error("{problem}")]
    Precondition {
        /// The rule that was broken.
        reason: Reason,
        /// What the caller can do about it.
        problem: String,
    },
    /// A limit is reached.
    #[error("{problem}")]
    Quota {
        /// The limit that was reached.
        reason: Reason,
        /// What the caller can do about it.
        problem: String,
    },
    /// The hasher's queue is full.
    #[error("the server is busy checking passwords; try again later")]
    Busy,
    /// The store cannot be read or written now.
    #[error("{}", unavailable(.0))]
    Unavailable(#[source] store::Error),
    /// The audit sink is required and does not take the row of what was done.
    #[error(
        "what was asked for may be done, but its audit row cannot be written to the audit sink now, where it will follow; try again later"
    )]
    NotDelivered,
    /// A bug or a failure inside the server.
    #[error("something is wrong in the server")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// Its value of the enum `hallpass.v1.Reason`.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Field(_) => Reason::InvalidField,
            Self::Unauthenticated(refusal) => refusal.reason(),
            Self::Throttled { .. } => Reason::SignInThrottled,
            Self::RateLimited { .. } => Reason::TokenRateLimited,
            Self::Denied(denied) => denied.reason(),
            Self::NotFound(Noun::Token) => Reason::TokenNotFound,
            Self::NotFound(Noun::User | Noun::Owner) => Reason::UserNotFound,
            Self::UsernameTaken => Reason::UsernameTaken,
            Self::Precondition { reason, .. } | Self::Quota { reason, .. } => *reason,
            Self::Busy | Self::Unavailable(store::Error::Overloaded) => Reason::Overloaded,
            Self::Unavailable(_) => Reason::StoreUnavailable,
            Self::NotDelivered => Reason::AuditSinkUnavailable,
            Self::Internal(_) => Reason::Internal,
        }
    }
}

fn unavailable(error: &store::Error) -> Cow<'static, str> {
    let problem = match error {
        store::Error::Unavailable {
            kind: store::Unavailable::NoRoomForCopy { needed_bytes, .. },
            ..
        } => {
            let needed = needed_bytes.div_ceil(1 << 20);
            return format!(
                "the disk of the server has no room for a copy of the database: a backup needs {needed} MiB free there"
            )
            .into();
        }
        store::Error::Unavailable {
            kind: store::Unavailable::Full,
            ..
        } => {
            "the disk of the server is full: tokens are checked and revoked, and nothing else is changed until there is room"
        }
        _ => "the store is not available now; try again later",
    };
    problem.into()
}

impl Error {
    /// Its label in the metrics.
    pub(super) fn result(&self) -> &'static str {
        self.reason().as_str()
    }
}

/// Errors that pass, or that repairing the database fixes, are `Unavailable`; bugs of ours are `Internal`.
impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable { .. }
            | store::Error::Overloaded
            | store::Error::Row { .. } => Self::Unavailable(error),
            store::Error::Constraint { .. }
            | store::Error::Statement { .. }
            | store::Error::Panicked => Self::Internal(Box::new(error)),
        }
    }
}

/// What was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    /// A token.
    Token,
    /// A user.
    User,
    /// The person who is to own a machine user. The request names two users, so the error must say which is missing.
    Owner,
}

impl std::fmt::Display for Noun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token => "there is no such token",
            Self::User => "there is no such user",
            Self::Owner => "owner_id: there is no such user",
        })
    }
}

/// An invalid field of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The field's name in the protobuf message.
    pub field: &'static str,
    /// What is wrong; never the value of a secret field.
    pub problem: String,
}

impl FieldError {
    /// An error about `field`; `problem` says what is wrong with it.
    pub fn new(field: &'static str, problem: impl ToString) -> Self {
        Self {
            field,
            problem: problem.to_string(),
        }
    }
}

/// A field that was parsed early. Its error is only returned after authorisation, which comes before field errors.
pub type Checked<T> = Result<T, FieldError>;

impl From<PageTokenError> for Error {
    fn from(error: PageTokenError) -> Self {
        FieldError::new("page_token", error).into()
    }
}

impl From<LifetimeError> for Error {
    fn from(error: LifetimeError) -> Self {
        let reason = match error {
            LifetimeError::Past => return FieldError::new("expire_time", error).into(),
            LifetimeError::TooLong { .. } | LifetimeError::Never => Reason::LifetimeTooLong,
            LifetimeError::OutlivesParent { .. } => Reason::OutlivesParent,
        };
        Self::Precondition {
            reason,
            problem: error.to_string(),
        }
    }
}

/// Why a credential was not accepted. Only a caller who holds the full secret learns why a token is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// There is no credential.
    #[error("sign in: this needs a token in the Authorization header (Bearer)")]
    Missing,
    /// The token is malformed, or its checksum is wrong.
    #[error("the token is invalid")]
    Malformed,
    /// The token does not exist, or its secret is wrong.
    #[error("the token is invalid")]
    WrongToken,
    /// The username or the password is wrong, or the user may not sign in.
    #[error("the username or the password is wrong")]
    WrongPassword,
    /// The secret is right, but the token is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Drops the details: an unauthenticated caller is not told how a token is malformed.
impl From<TokenTextError> for Unauthenticated {
    fn from(_: TokenTextError) -> Self {
        Self::Malformed
    }
}

impl Unauthenticated {
    /// Its value of the enum `hallpass.v1.Reason`.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Missing => Reason::CredentialsMissing,
            Self::Malformed | Self::WrongToken | Self::WrongPassword => Reason::CredentialsInvalid,
            Self::Invalid(Invalid::Revoked) => Reason::TokenDeleted,
            Self::Invalid(Invalid::Expired) => Reason::TokenExpired,
            Self::Invalid(Invalid::Disabled) => Reason::TokenDisabled,
            Self::Invalid(Invalid::UserDeactivated) => Reason::UserDeactivated,
            Self::Invalid(Invalid::Parent) => Reason::ParentInvalid,
            Self::Invalid(Invalid::Address) => Reason::AddressNotAllowed,
        }
    }
}

const fn disabled(by: DisabledBy) -> &'static str {
    match by {
        DisabledBy::Owner => "its owner disabled it",
        DisabledBy::Admin => "an admin disabled it",
        DisabledBy::Reuse => "it was disabled because a rotated secret of its family was used",
    }
}

/// Why an authenticated caller may not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Its role does not allow it, or it is a machine user.
    #[error("you may not do this")]
    Role,
    /// Its token is scoped and lacks the scope for this.
    #[error("the token lacks the scope {}", .0.as_str())]
    Scope(OwnScope),
    /// Its token was created with a token, and so cannot create tokens.
    #[error("a token that was made with a token cannot make tokens")]
    Lineage,
    /// The settings forbid creating tokens with a token.
    #[error("tokens cannot be made with a token here: sign in with username and password")]
    TokenChildren,
    /// The token was not disabled by its owner, so only an admin may enable it.
    #[error("only an admin may enable the token: {}", disabled(*.0))]
    Disabled(DisabledBy),
    /// The given old password is wrong.
    #[error("the old password is wrong")]
    OldPassword,
}

impl Denied {
    /// Its value of the enum `hallpass.v1.Reason`.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Role => Reason::PermissionDenied,
            Self::Scope(_) => Reason::ScopeMissing,
            Self::Lineage => Reason::LineageTooDeep,
            Self::TokenChildren => Reason::TokenChildrenForbidden,
            Self::Disabled(_) => Reason::AdminRequired,
            Self::OldPassword => Reason::CredentialsInvalid,
        }
    }
}
