//! The access log: one line per request, written when its reply is known. It contains the path, never the query,
//! and no secret of a token.

use std::{borrow::Cow, time::Duration};

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use crate::domain::{
    id::{TokenId, UserId},
    reason::Reason,
    token_search,
};

use super::context::RequestContext;

/// Maximum length of a path in the log.
const MAX_PATH_BYTES: usize = 1024;

/// Which requests are logged at level info; the others are logged at debug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogRequests {
    /// All requests.
    All,
    /// All except successful health probes and token checks, of which there may be many thousands a second.
    #[default]
    Default,
    /// Only those that were refused or failed.
    Errors,
}

impl LogRequests {
    const fn is_info(self, is_routine: bool, is_error: bool) -> bool {
        match self {
            Self::All => true,
            Self::Default => is_error || !is_routine,
            Self::Errors => is_error,
        }
    }
}

/// What a line says of the request besides what its context has collected.
pub(super) struct Line<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) status: StatusCode,
    pub(super) elapsed: Duration,
    pub(super) client_certificate: Option<&'a str>,
}

impl Line<'_> {
    pub(super) fn write(&self, context: &RequestContext, log_requests: LogRequests) {
        let (client, fields) = (context.client(), context.log_fields());
        let call = fields.call;
        let error = call.and_then(|call| call.error);
        let status = self.status.as_u16();
        // tracing needs the level at compile time.
        macro_rules! write_at {
            ($level:ident) => {
                tracing::event!(
                    tracing::Level::$level,
                    method = self.method.as_str(),
                    path = &*loggable(self.path),
                    status,
                    code = call.map(|_| error.map_or("ok", |code| code.as_str())),
                    protocol = call.and_then(|call| call.protocol),
                    duration_us = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX),
                    credential = fields.credential,
                    token.id = fields
                        .token
                        .map(TokenId::encode)
                        .as_ref()
                        .map(|id| id.as_str()),
                    user.id = fields
                        .user
                        .map(UserId::encode)
                        .as_ref()
                        .map(|id| id.as_str()),
                    reason = fields.reason.map(Reason::as_str),
                    ip = client.ip.map(tracing::field::display),
                    client_ip = fields.client_ip.map(tracing::field::display),
                    client_certificate = self.client_certificate,
                    client_request_id = client.client_request_id.as_deref(),
                    "request"
                )
            };
        }
        let is_error = status >= 400 || error.is_some() || fields.reason.is_some();
        if log_requests.is_info(
            fields.endpoint.is_some_and(|endpoint| endpoint.is_routine),
            is_error,
        ) {
            write_at!(INFO);
        } else {
            write_at!(DEBUG);
        }
    }
}

/// A path that is safe to log: secrets of tokens are redacted, percent-encoded ones too, and long paths are cut.
fn loggable(path: &str) -> Cow<'_, str> {
    let mut loggable = redacted(path);
    if path.contains('%')
        && let decoded = percent_decode_str(path).decode_utf8_lossy()
        && let Cow::Owned(redacted) = redacted(&decoded)
    {
        loggable = redacted.into();
    }
    if loggable.len() > MAX_PATH_BYTES {
        let cut = &loggable[..loggable.floor_char_boundary(MAX_PATH_BYTES)];
        loggable = format!("{cut}…").into();
    }
    loggable
}

fn redacted(text: &str) -> Cow<'_, str> {
    match token_search::redact(text.as_bytes()) {
        Cow::Borrowed(_) => text.into(),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::Id,
        token_text::{TokenPrefix, TokenText},
    };

    #[test]
    fn logged_path_has_no_secret_and_a_maximum_length() {
        let id = TokenId::from_id(Id::from_u128(7));
        let token = TokenText::generate(&TokenPrefix::default(), id);
        let token = token.expose();
        let secret = &token[token.len() - 49..];
        let expected = format!("/forward-auth/hallpass_{id}_[secret]/x");
        assert_eq!(loggable(&format!("/forward-auth/{token}/x")), expected);
        let encoded = format!("/forward-auth/{}/x", token.replace('_', "%5F"));
        assert_eq!(loggable(&encoded), expected);
        // The cut must not split a token before it is redacted.
        for before in MAX_PATH_BYTES - 100..MAX_PATH_BYTES {
            let loggable = loggable(&format!("{}/{token}", "é".repeat(before / 2))).into_owned();
            assert!(loggable.len() <= MAX_PATH_BYTES + "…".len());
            assert!(!loggable.contains(&secret[..8]), "{loggable}");
        }
        assert_eq!(loggable("/a%20b/é"), "/a%20b/é");
    }

    #[test]
    fn routine_requests_are_logged_when_they_fail() {
        use LogRequests::{All, Default, Errors};
        for (which, is_routine, is_error, expected) in [
            (All, true, false, true),
            (Default, true, false, false),
            (Default, true, true, true),
            (Default, false, false, true),
            (Errors, false, false, false),
            (Errors, true, true, true),
        ] {
            assert_eq!(which.is_info(is_routine, is_error), expected, "{which:?}");
        }
    }
}
