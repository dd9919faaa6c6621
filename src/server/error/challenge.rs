//! `WWW-Authenticate`: how to present a token, and what was wrong with the one presented (RFC 6750 §3).

use std::fmt::Display;

use crate::app::error::Unauthenticated;

/// The challenge where a token may also be the password of Basic (RFC 7617 §2).
pub(in crate::server) const BASIC: &str = "Basic realm=\"hallpass\", charset=\"UTF-8\"";

/// The challenge for a bearer token.
pub(in crate::server) const BEARER: &str = "Bearer realm=\"hallpass\"";

/// Without a credential there is no error code. The description is more specific than "invalid" only if the full
/// secret was right.
pub(in crate::server) fn unauthenticated(refusal: Unauthenticated) -> String {
    match refusal {
        Unauthenticated::Missing => BEARER.to_owned(),
        refusal => format!("{BEARER}, error=\"invalid_token\", error_description=\"{refusal}\""),
    }
}

/// `scopes` are those that would be sufficient; empty: any.
pub(in crate::server) fn insufficient_scope(scopes: impl Display) -> String {
    let scopes = scopes.to_string();
    let scope = if scopes.is_empty() {
        String::new()
    } else {
        format!(", scope=\"{scopes}\"")
    };
    format!("{BEARER}, error=\"insufficient_scope\"{scope}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::Invalid;

    #[test]
    fn every_description_is_a_quoted_string() {
        let invalid = [
            Invalid::Revoked,
            Invalid::Expired,
            Invalid::Disabled,
            Invalid::UserDeactivated,
            Invalid::Parent,
            Invalid::Address,
        ];
        let others = [
            Unauthenticated::Malformed,
            Unauthenticated::WrongToken,
            Unauthenticated::WrongPassword,
        ];
        for refusal in invalid
            .map(Unauthenticated::Invalid)
            .into_iter()
            .chain(others)
        {
            let value = unauthenticated(refusal);
            assert_eq!(value.matches('"').count(), 6, "{value}");
            assert!(value.is_ascii() && !value.contains('\\'), "{value}");
        }
        assert_eq!(
            unauthenticated(Unauthenticated::Missing),
            "Bearer realm=\"hallpass\""
        );
    }
}
