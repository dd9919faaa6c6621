//! The one error of all use cases. What a client is told of it stands in `server/error.rs`.

use std::{error::Error as StdError, time::Duration};

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

/// Why a use case did not happen. `Display` is a sentence for the caller and tells no secret and no inside
/// of the server; what only the log may tell is in `source`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request has a value that is not allowed.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The caller is not known, or not by this credential.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// Too many attempts to sign in.
    #[error("too many attempts to sign in; try again in {}", humantime::format_duration(*retry_after))]
    Throttled {
        /// When to try again, in whole seconds.
        retry_after: Duration,
    },
    /// A valid token is used more often than the settings allow.
    #[error("the token is used too often; try again in {}", humantime::format_duration(*retry_after))]
    RateLimited {
        /// When to try again, in whole seconds.
        retry_after: Duration,
    },
    /// The caller may not do this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is none, or the caller may not know of it.
    #[error("{0}")]
    NotFound(Noun),
    /// The name is taken, or was.
    #[error("the username is taken")]
    UsernameTaken,
    /// The state of things does not allow it.
    #[error("{problem}")]
    Precondition {
        /// Which rule.
        reason: Reason,
        /// What the caller can do about it.
        problem: String,
    },
    /// A limit is reached.
    #[error("{problem}")]
    Quota {
        /// Which limit.
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
    /// Something is wrong in the server.
    #[error("something is wrong in the server")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// The word of `hallpass.v1.Reason` for it.
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
            Self::Internal(_) => Reason::Internal,
        }
    }
}

const fn unavailable(error: &store::Error) -> &'static str {
    match error {
        store::Error::Unavailable {
            kind: store::Unavailable::Full,
            ..
        } => {
            "the disk of the server is full: tokens are checked and revoked, and nothing else is changed until there is room"
        }
        _ => "the store is not available now; try again later",
    }
}

impl Error {
    /// The name that metrics count it by.
    pub(super) fn result(&self) -> &'static str {
        self.reason().as_str()
    }
}

/// What passes, or a repair mends, is unavailability; what this program did wrong is not.
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
    /// The person who shall own a machine, which is another user of the same request.
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

/// A field and what is wrong with its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The field's name in the protobuf message.
    pub field: &'static str,
    /// What is wrong; never the value of a secret field.
    pub problem: String,
}

impl FieldError {
    /// Of `field`, for what `problem` says.
    pub fn new(field: &'static str, problem: impl ToString) -> Self {
        Self {
            field,
            problem: problem.to_string(),
        }
    }
}

/// A field that was read before it is due: authorisation comes before what is wrong with a field.
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

/// Why a credential was not accepted. More than `Wrong` is only told to one who holds the full secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// There is none.
    #[error("sign in: this needs a token in the Authorization header (Bearer)")]
    Missing,
    /// It has not the form of one, or its checksum does not fit.
    #[error("the token is invalid")]
    Malformed,
    /// It is none of ours, or the secret is wrong.
    #[error("the token is invalid")]
    WrongToken,
    /// Username or password is wrong, or the user may not sign in.
    #[error("the username or the password is wrong")]
    WrongPassword,
    /// The secret is right, but the token is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// What is wrong with the form of a token is told to nobody who is not known.
impl From<TokenTextError> for Unauthenticated {
    fn from(_: TokenTextError) -> Self {
        Self::Malformed
    }
}

impl Unauthenticated {
    /// The word of `hallpass.v1.Reason` for it.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Missing => Reason::CredentialsMissing,
            Self::Malformed | Self::WrongToken | Self::WrongPassword => Reason::CredentialsInvalid,
            Self::Invalid(Invalid::Deleted) => Reason::TokenDeleted,
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

/// Why a known caller may not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Its role, or its being a machine, does not allow it.
    #[error("you may not do this")]
    Role,
    /// Its token has scopes, and not the one for this.
    #[error("the token lacks the scope {}", .0.as_str())]
    Scope(OwnScope),
    /// Its token was made with a token.
    #[error("a token that was made with a token cannot make tokens")]
    Lineage,
    /// The settings forbid to make tokens with tokens.
    #[error("tokens cannot be made with a token here: sign in with username and password")]
    TokenChildren,
    /// The token is disabled, and not by its owner.
    #[error("only an admin enables the token: {}", disabled(*.0))]
    Disabled(DisabledBy),
    /// The old password that was given is wrong.
    #[error("the old password is wrong")]
    OldPassword,
}

impl Denied {
    /// The word of `hallpass.v1.Reason` for it.
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
