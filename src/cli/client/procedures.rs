//! The procedures that commands call, with their reply types.

use prost::{Message, Name};

use crate::proto::hallpass::v1;

/// The request of a unary procedure.
pub(in crate::cli) trait Unary: Message + Name {
    type Reply: Message + Name + Default;
    /// `Service/Method` in `hallpass.v1`.
    const PROCEDURE: &'static str;
}

/// The request of a server-streaming procedure.
pub(in crate::cli) trait ServerStream: Message + Name {
    type Reply: Message + Name + Default;
    /// `Service/Method` in `hallpass.v1`.
    const PROCEDURE: &'static str;
}

macro_rules! procedures {
    ($kind:ident: $($service:literal / $method:literal ($request:ident) -> $reply:ident;)*) => {
        $(impl $kind for v1::$request {
            type Reply = v1::$reply;
            const PROCEDURE: &'static str = concat!($service, "/", $method);
        })*
    };
}

procedures! { Unary:
    "AdminService" / "CountAllTokens" (CountAllTokensRequest) -> CountAllTokensResponse;
    "AdminService" / "ListAllTokens" (ListAllTokensRequest) -> ListAllTokensResponse;
    "AdminService" / "RevokeLeakedTokens" (RevokeLeakedTokensRequest) -> RevokeLeakedTokensResponse;
    "AdminService" / "RevokeTokens" (RevokeTokensRequest) -> RevokeTokensResponse;
    "AuditService" / "ListAuditEvents" (ListAuditEventsRequest) -> ListAuditEventsResponse;
    "AuthnService" / "GetCurrentUser" (GetCurrentUserRequest) -> GetCurrentUserResponse;
    "StatusService" / "GetServerStatus" (GetServerStatusRequest) -> GetServerStatusResponse;
    "TokenService" / "CreateToken" (CreateTokenRequest) -> CreateTokenResponse;
    "TokenService" / "DeleteToken" (DeleteTokenRequest) -> DeleteTokenResponse;
    "TokenService" / "ExplainToken" (ExplainTokenRequest) -> ExplainTokenResponse;
    "TokenService" / "GetToken" (GetTokenRequest) -> GetTokenResponse;
    "TokenService" / "ListTokens" (ListTokensRequest) -> ListTokensResponse;
    "TokenService" / "LookUpToken" (LookUpTokenRequest) -> LookUpTokenResponse;
    "TokenService" / "RotateToken" (RotateTokenRequest) -> RotateTokenResponse;
    "TokenService" / "UndoRotation" (UndoRotationRequest) -> UndoRotationResponse;
    "TokenService" / "UpdateToken" (UpdateTokenRequest) -> UpdateTokenResponse;
    "TokenService" / "VerifyToken" (VerifyTokenRequest) -> VerifyTokenResponse;
    "UserService" / "CreateUser" (CreateUserRequest) -> CreateUserResponse;
    "UserService" / "DeactivateUser" (DeactivateUserRequest) -> DeactivateUserResponse;
    "UserService" / "DeleteUser" (DeleteUserRequest) -> DeleteUserResponse;
    "UserService" / "GetUser" (GetUserRequest) -> GetUserResponse;
    "UserService" / "GetUserByUsername" (GetUserByUsernameRequest) -> GetUserByUsernameResponse;
    "UserService" / "ListUsers" (ListUsersRequest) -> ListUsersResponse;
    "UserService" / "LookUpUser" (LookUpUserRequest) -> LookUpUserResponse;
    "UserService" / "ReactivateUser" (ReactivateUserRequest) -> ReactivateUserResponse;
    "UserService" / "SetOwner" (SetOwnerRequest) -> SetOwnerResponse;
    "UserService" / "SetPassword" (SetPasswordRequest) -> SetPasswordResponse;
    "UserService" / "UpdateUserServerRole" (UpdateUserServerRoleRequest) -> UpdateUserServerRoleResponse;
    "UserService" / "UpdateUserSettings" (UpdateUserSettingsRequest) -> UpdateUserSettingsResponse;
}

procedures! { ServerStream:
    "AdminService" / "BackUpData" (BackUpDataRequest) -> BackUpDataResponse;
    "AdminService" / "CheckData" (CheckDataRequest) -> CheckDataResponse;
    "AuditService" / "StreamAuditEvents" (StreamAuditEventsRequest) -> StreamAuditEventsResponse;
}
