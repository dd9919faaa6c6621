//! How errors are presented to clients: the one table from [`app::Error`] to a code, a reason and details.
//!
//! The source of an error is never sent. It is logged here, once, inside the span that has the request ID that the
//! client gets.

pub(super) mod challenge;
pub(super) mod oauth;

use std::{error::Error as StdError, time::Duration};

use connectrpc_axum::{Code, ConnectError};
use prost::Message;
use prost_types::Duration as ProtoDuration;
use tonic_types::pb::RetryInfo;

use crate::{
    app::{self, error::Denied},
    domain::reason::Reason,
    proto::hallpass::v1,
};

use super::edge;

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

const CHALLENGE: &str = "www-authenticate";

/// When to retry after the queue of password checks was full: about as long as the queue takes.
const BUSY: Duration = Duration::from_secs(2);

const fn code(error: &app::Error) -> Code {
    match error {
        app::Error::Field(_) => Code::InvalidArgument,
        app::Error::Unauthenticated(_) => Code::Unauthenticated,
        app::Error::Denied(_) => Code::PermissionDenied,
        app::Error::NotFound(_) => Code::NotFound,
        app::Error::UsernameTaken => Code::AlreadyExists,
        app::Error::Precondition { .. } => Code::FailedPrecondition,
        app::Error::Throttled { .. }
        | app::Error::RateLimited { .. }
        | app::Error::Quota { .. }
        | app::Error::Busy => Code::ResourceExhausted,
        app::Error::Unavailable(_) => Code::Unavailable,
        app::Error::Internal(_) => Code::Internal,
    }
}

impl From<app::Error> for ConnectError {
    fn from(error: app::Error) -> Self {
        log(&error);
        let reply = edge::refusal(code(&error), reason(error.reason()), error.to_string());
        match error {
            app::Error::Field(field) => {
                edge::with_violation(reply, field.field.to_owned(), field.problem)
            }
            app::Error::Throttled { retry_after } | app::Error::RateLimited { retry_after } => {
                with_retry(reply, retry_after)
            }
            app::Error::Busy => with_retry(reply, BUSY),
            app::Error::Unauthenticated(refusal) => {
                reply.with_meta(CHALLENGE, challenge::unauthenticated(refusal))
            }
            app::Error::Denied(Denied::Scope(scope)) => {
                reply.with_meta(CHALLENGE, challenge::insufficient_scope(scope.as_str()))
            }
            _ => reply,
        }
    }
}

pub(super) fn reason(reason: Reason) -> v1::Reason {
    v1::Reason::from_str_name(reason.as_str()).expect("a test compares the two enums")
}

/// Adds a `RetryInfo`.
pub(super) fn with_retry(reply: ConnectError, after: Duration) -> ConnectError {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let delay = ProtoDuration {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        nanos: 0,
    };
    let detail = RetryInfo {
        retry_delay: Some(delay),
    };
    reply
        .add_detail(RETRY_INFO, detail.encode_to_vec())
        .with_meta("retry-after", seconds.to_string())
}

fn log(error: &app::Error) {
    match error {
        app::Error::Unavailable(source) => {
            tracing::warn!(error = %chain(source), "the store is not available");
        }
        app::Error::Internal(source) => {
            tracing::error!(error = %chain(source.as_ref()), "something is wrong in the server");
        }
        _ => {}
    }
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_exactly_those_of_the_protobuf_enum() {
        let ours: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(
            ours.iter()
                .all(|name| v1::Reason::from_str_name(name).is_some())
        );
        let theirs: Vec<_> = (1..=200)
            .filter_map(|number| v1::Reason::try_from(number).ok())
            .map(|reason| reason.as_str_name())
            .collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn throttled_client_gets_a_retry_after_in_whole_seconds() {
        let error = app::Error::Throttled {
            retry_after: Duration::from_millis(1_200),
        };
        let reply = ConnectError::from(error);
        assert_eq!(reply.meta().unwrap()["retry-after"], "2");
        assert_eq!(reply.code(), Code::ResourceExhausted);
        assert_eq!(reply.details().len(), 2);
    }

    #[test]
    fn busy_server_sends_a_retry_after() {
        let reply = ConnectError::from(app::Error::Busy);
        assert_eq!(reply.meta().unwrap()["retry-after"], "2");
        assert_eq!(reply.code(), Code::ResourceExhausted);
        assert_eq!(reply.details().len(), 2);
    }
}
