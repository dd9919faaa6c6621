//! Why a request was refused: the values of `hallpass.v1.Reason`, which every error carries.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a request was refused. See `proto/hallpass/v1/reason.proto`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in `hallpass.v1.Reason`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// The request violates the protocol, or its message cannot be decoded.
    MalformedRequest = "MALFORMED_REQUEST",
    /// A field has an invalid value.
    InvalidField = "INVALID_FIELD",
    /// The request exceeds the size limit.
    RequestTooLarge = "REQUEST_TOO_LARGE",
    /// No such procedure.
    ProcedureNotFound = "PROCEDURE_NOT_FOUND",
    /// The procedure cannot be called this way.
    Unsupported = "UNSUPPORTED",
    /// The request's deadline passed.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// The request has no credentials.
    CredentialsMissing = "CREDENTIALS_MISSING",
    /// The credentials are wrong.
    CredentialsInvalid = "CREDENTIALS_INVALID",
    /// The token has expired.
    TokenExpired = "TOKEN_EXPIRED",
    /// The token was deleted.
    TokenDeleted = "TOKEN_DELETED",
    /// The token is disabled.
    TokenDisabled = "TOKEN_DISABLED",
    /// The token's user is deactivated or deleted.
    UserDeactivated = "USER_DEACTIVATED",
    /// The token's parent is not valid.
    ParentInvalid = "PARENT_INVALID",
    /// The token may not be used from this address.
    AddressNotAllowed = "ADDRESS_NOT_ALLOWED",
    /// Too many attempts to sign in.
    SignInThrottled = "SIGN_IN_THROTTLED",
    /// The caller may not do this.
    PermissionDenied = "PERMISSION_DENIED",
    /// The caller's token lacks a scope.
    ScopeMissing = "SCOPE_MISSING",
    /// A token created with another token cannot create tokens.
    LineageTooDeep = "LINEAGE_TOO_DEEP",
    /// The server forbids creating tokens with tokens.
    TokenChildrenForbidden = "TOKEN_CHILDREN_FORBIDDEN",
    /// Only an admin may enable the token.
    AdminRequired = "ADMIN_REQUIRED",
    /// The token does not exist, or the caller may not see it.
    TokenNotFound = "TOKEN_NOT_FOUND",
    /// The user does not exist, or the caller may not see it.
    UserNotFound = "USER_NOT_FOUND",
    /// The name is, or was, in use.
    UsernameTaken = "USERNAME_TAKEN",
    /// The lifetime exceeds the server's maximum.
    LifetimeTooLong = "LIFETIME_TOO_LONG",
    /// The token would outlive its parent.
    OutlivesParent = "OUTLIVES_PARENT",
    /// The token would exceed its parent's scopes or networks.
    ExceedsParent = "EXCEEDS_PARENT",
    /// The user is deactivated.
    TargetDeactivated = "TARGET_DEACTIVATED",
    /// The last active admin must remain.
    LastAdmin = "LAST_ADMIN",
    /// The user still owns machines.
    UserOwnsMachines = "USER_OWNS_MACHINES",
    /// The operation does not apply to this type of user.
    WrongUserType = "WRONG_USER_TYPE",
    /// The token was rotated before.
    AlreadyRotated = "ALREADY_ROTATED",
    /// The change would widen the token's scopes or networks.
    ExceedsToken = "EXCEEDS_TOKEN",
    /// The rotation can no longer be undone.
    RotationFinal = "ROTATION_FINAL",
    /// Rows of the audit log were purged while they were read.
    AuditRowsPurged = "AUDIT_ROWS_PURGED",
    /// The user has the maximum number of tokens.
    TooManyTokens = "TOO_MANY_TOKENS",
    /// The user has the maximum number of machines.
    TooManyMachines = "TOO_MANY_MACHINES",
    /// The server is busy.
    Overloaded = "OVERLOADED",
    /// The token exceeds its request rate.
    TokenRateLimited = "TOKEN_RATE_LIMITED",
    /// The store is temporarily unavailable.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// An internal error.
    Internal = "INTERNAL",
    /// The audit sink that the operator requires does not take rows.
    AuditSinkUnavailable = "AUDIT_SINK_UNAVAILABLE",
}
