//! What a proxy passes on of whoever holds a valid token.

use crate::app::verify::Verified;

/// Names, in lower case, and values. All of them always, an empty one too: a proxy that copies them into the
/// request overwrites whatever a client wrote there itself.
pub(super) fn headers(verified: &Verified) -> [(&'static str, String); 4] {
    let Verified { token, user } = verified;
    [
        ("x-auth-user", user.username.as_str().to_owned()),
        ("x-auth-user-id", user.id.to_string()),
        ("x-auth-token-id", token.id.to_string()),
        // Empty: not limited.
        ("x-auth-scopes", token.scopes.to_string()),
    ]
}
