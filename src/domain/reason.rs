//! Why a request was refused: the words of `hallpass.v1.Reason`, which every error carries.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a request was refused. See `proto/hallpass/v1/reason.proto`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them.
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
    /// Not of the protocol's form, or the message cannot be decoded.
    MalformedRequest = "MALFORMED_REQUEST",
    /// A field has a value that is not allowed.
    InvalidField = "INVALID_FIELD",
    /// Larger than the server accepts.
    RequestTooLarge = "REQUEST_TOO_LARGE",
    /// No such procedure.
    ProcedureNotFound = "PROCEDURE_NOT_FOUND",
    /// The procedure is not called like this.
    Unsupported = "UNSUPPORTED",
    /// The request's time is over.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// No credentials.
    CredentialsMissing = "CREDENTIALS_MISSING",
    /// Wrong credentials.
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
    /// Not from this address.
    AddressNotAllowed = "ADDRESS_NOT_ALLOWED",
    /// Too many attempts to sign in.
    SignInThrottled = "SIGN_IN_THROTTLED",
    /// The caller may not do this.
    PermissionDenied = "PERMISSION_DENIED",
    /// The caller's token lacks a scope.
    ScopeMissing = "SCOPE_MISSING",
    /// A token made with a token cannot make tokens.
    LineageTooDeep = "LINEAGE_TOO_DEEP",
    /// Tokens cannot make tokens here.
    TokenChildrenForbidden = "TOKEN_CHILDREN_FORBIDDEN",
    /// Only an admin enables the token.
    AdminRequired = "ADMIN_REQUIRED",
    /// No such token, or not for the caller.
    TokenNotFound = "TOKEN_NOT_FOUND",
    /// No such user, or not for the caller.
    UserNotFound = "USER_NOT_FOUND",
    /// The name is taken, or was.
    UsernameTaken = "USERNAME_TAKEN",
    /// Longer than the server allows.
    LifetimeTooLong = "LIFETIME_TOO_LONG",
    /// Longer than its parent.
    OutlivesParent = "OUTLIVES_PARENT",
    /// More than its parent may.
    ExceedsParent = "EXCEEDS_PARENT",
    /// The user is deactivated.
    TargetDeactivated = "TARGET_DEACTIVATED",
    /// The last active admin stays.
    LastAdmin = "LAST_ADMIN",
    /// The user still owns machines.
    UserOwnsMachines = "USER_OWNS_MACHINES",
    /// For the other type of user.
    WrongUserType = "WRONG_USER_TYPE",
    /// Rotated already.
    AlreadyRotated = "ALREADY_ROTATED",
    /// More than the token may now.
    ExceedsToken = "EXCEEDS_TOKEN",
    /// A rotation that cannot be taken back.
    RotationFinal = "ROTATION_FINAL",
    /// As many tokens as are allowed.
    TooManyTokens = "TOO_MANY_TOKENS",
    /// As many machines as are allowed.
    TooManyMachines = "TOO_MANY_MACHINES",
    /// The server is busy.
    Overloaded = "OVERLOADED",
    /// The token is used too often.
    TokenRateLimited = "TOKEN_RATE_LIMITED",
    /// The store cannot be read or written now.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// Something is wrong in the server.
    Internal = "INTERNAL",
}
