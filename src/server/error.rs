//! Errors as clients see them: the one table from [`app::Error`] to a code, a reason and details. Each protocol
//! encodes an [`ApiError`] once, at the end.
//!
//! The source of an error is never sent. It is logged here, once, with the request ID that the client gets.

pub(super) mod challenge;
pub(super) mod oauth;

use std::{borrow::Cow, error::Error as StdError, time::Duration};

use connectrpc_axum::{Code, ConnectError};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use prost::Message;
use prost_types::Duration as ProtoDuration;
use tonic_types::pb::{BadRequest, ErrorInfo, RetryInfo, bad_request::FieldViolation};

use crate::{
    app::{self, error::Denied},
    domain::reason::Reason,
    proto::hallpass::v1,
};

/// The domain of our reasons in `ErrorInfo`.
const DOMAIN: &str = "hallpass";

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// When to retry after the queue of password checks was full: about as long as the queue takes.
const BUSY: Duration = Duration::from_secs(2);

/// An error that is about to be sent to a client.
#[derive(Clone, Debug)]
pub struct ApiError {
    code: Code,
    message: Option<Cow<'static, str>>,
    reason: Option<Reason>,
    /// Type URL and encoded message of each detail besides the reason.
    details: Vec<(Cow<'static, str>, Vec<u8>)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    status: Option<StatusCode>,
}

impl ApiError {
    /// An error that carries its reason, as all of ours do.
    pub(super) fn new(code: Code, reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: Some(reason),
            ..Self::without_reason(code, Some(message.into()))
        }
    }

    /// An error of a handler that is not ours.
    pub fn without_reason(code: Code, message: Option<Cow<'static, str>>) -> Self {
        Self {
            code,
            message,
            reason: None,
            details: Vec::new(),
            headers: Vec::new(),
            status: None,
        }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with_detail(mut self, type_url: impl Into<Cow<'static, str>>, detail: Vec<u8>) -> Self {
        self.details.push((type_url.into(), detail));
        self
    }

    /// Adds a `BadRequest` that says what is wrong with which field.
    pub(super) fn with_violation(self, field: String, description: String) -> Self {
        let violation = FieldViolation {
            field,
            description,
            ..FieldViolation::default()
        };
        let detail = BadRequest {
            field_violations: vec![violation],
        };
        self.with_detail(BAD_REQUEST, detail.encode_to_vec())
    }

    /// Adds when to try again: a `RetryInfo` and `Retry-After`, in whole seconds.
    pub(super) fn with_retry(self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        let delay = ProtoDuration {
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
            nanos: 0,
        };
        let detail = RetryInfo {
            retry_delay: Some(delay),
        };
        self.with_detail(RETRY_INFO, detail.encode_to_vec())
            .with_header(RETRY_AFTER, seconds.into())
    }

    fn with_challenge(self, challenge: String) -> Self {
        let challenge = HeaderValue::try_from(challenge).expect("a test finds no other text");
        self.with_header(WWW_AUTHENTICATE, challenge)
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the HTTP status in Connect, where it is not the code's own.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }

    pub(super) fn code(&self) -> Code {
        self.code
    }

    pub(super) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        self.reason
    }

    pub(super) fn status(&self) -> Option<StatusCode> {
        self.status
    }

    pub(super) fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        let mut headers = self.headers.iter();
        headers.find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// Adds the error's header fields to a response.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
    }

    /// The error for connectrpc-axum, which encodes it. `with_reason`: whether clients expect our `ErrorInfo`.
    pub(super) fn to_connect(&self, with_reason: bool) -> ConnectError {
        let mut error = match &self.message {
            Some(message) => ConnectError::new(self.code, message.as_ref()),
            None => ConnectError::from_code(self.code),
        };
        if let Some(reason) = self.reason.filter(|_| with_reason) {
            let info = ErrorInfo {
                reason: reason.as_str().to_owned(),
                domain: DOMAIN.to_owned(),
                ..ErrorInfo::default()
            };
            error = error.add_detail(ERROR_INFO, info.encode_to_vec());
        }
        for (type_url, detail) in &self.details {
            error = error.add_detail(type_url.as_ref(), detail.clone());
        }
        if !self.headers.is_empty() {
            self.add_headers(error.meta_mut());
        }
        error
    }
}

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
        app::Error::Unavailable(_) | app::Error::NotDelivered => Code::Unavailable,
        app::Error::Internal(_) => Code::Internal,
    }
}

impl From<app::Error> for ApiError {
    fn from(error: app::Error) -> Self {
        log(&error);
        let reply = Self::new(code(&error), error.reason(), error.to_string());
        match error {
            app::Error::Field(field) => reply.with_violation(field.field.to_owned(), field.problem),
            app::Error::Throttled { retry_after } | app::Error::RateLimited { retry_after } => {
                reply.with_retry(retry_after)
            }
            app::Error::Busy => reply.with_retry(BUSY),
            app::Error::Unauthenticated(refusal) => {
                reply.with_challenge(challenge::unauthenticated(refusal))
            }
            app::Error::Denied(Denied::Scope(scope)) => {
                reply.with_challenge(challenge::insufficient_scope(scope.as_str()))
            }
            _ => reply,
        }
    }
}

impl From<app::error::FieldError> for ApiError {
    fn from(error: app::error::FieldError) -> Self {
        app::Error::from(error).into()
    }
}

/// The value of the protobuf enum.
pub(super) fn reason(reason: Reason) -> v1::Reason {
    v1::Reason::from_str_name(reason.as_str()).expect("a test compares the two enums")
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
        let reply = ApiError::from(error).to_connect(true);
        assert_eq!(reply.meta().unwrap()["retry-after"], "2");
        assert_eq!(reply.code(), Code::ResourceExhausted);
        assert_eq!(reply.details().len(), 2);
    }

    #[test]
    fn busy_server_sends_a_retry_after() {
        let reply = ApiError::from(app::Error::Busy).to_connect(true);
        assert_eq!(reply.meta().unwrap()["retry-after"], "2");
        assert_eq!(reply.code(), Code::ResourceExhausted);
        assert_eq!(reply.details().len(), 2);
    }
}
