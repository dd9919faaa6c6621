//! Errors of the edge itself, and the detail with their reason.
//!
//! Every error of Hallpass carries a `google.rpc.ErrorInfo` with a reason of `hallpass.v1.Reason`, which is only
//! made here. Handlers' errors have set theirs already.

use std::time::Duration;

use connectrpc_axum::{Code, ConnectError};
use prost::Message;
use tonic_types::pb::{BadRequest, ErrorInfo, bad_request::FieldViolation};

use crate::{
    proto::hallpass::v1::Reason,
    server::{current, error::with_retry},
};

/// The domain of our reasons in `ErrorInfo`.
pub const DOMAIN: &str = "hallpass";

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// An error with its reason.
pub fn refusal(code: Code, reason: Reason, message: impl Into<String>) -> ConnectError {
    with_reason(ConnectError::new(code, message), reason)
}

/// Adds the `ErrorInfo` with this reason.
pub fn with_reason(error: ConnectError, reason: Reason) -> ConnectError {
    let info = ErrorInfo {
        reason: reason.as_str_name().to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: std::collections::HashMap::new(),
    };
    error.add_detail(ERROR_INFO, info.encode_to_vec())
}

/// Adds a `BadRequest` that says what is wrong with which field.
pub fn with_violation(error: ConnectError, field: String, description: String) -> ConnectError {
    let violation = FieldViolation {
        field,
        description,
        ..FieldViolation::default()
    };
    let detail = BadRequest {
        field_violations: vec![violation],
    };
    error.add_detail(BAD_REQUEST, detail.encode_to_vec())
}

/// Gives an error without a reason the one that its code suggests. Such errors come from connectrpc-axum (a message
/// that cannot be decoded) or from tonic.
pub(super) fn complete(error: ConnectError) -> ConnectError {
    if error.details().iter().any(|d| is_error_info(d.type_url())) {
        return error;
    }
    let reason = match error.code() {
        Code::InvalidArgument | Code::OutOfRange => Reason::MalformedRequest,
        Code::ResourceExhausted => Reason::RequestTooLarge,
        Code::Unimplemented => Reason::Unsupported,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        Code::PermissionDenied => Reason::PermissionDenied,
        Code::Unauthenticated => Reason::CredentialsInvalid,
        Code::Unavailable => Reason::Overloaded,
        _ => Reason::Internal,
    };
    with_reason(error, reason)
}

/// Records the reason of an error that is about to be sent, for the access log.
pub(super) fn note_reason(error: &ConnectError) {
    let infos = error
        .details()
        .iter()
        .filter(|d| is_error_info(d.type_url()));
    let mut infos = infos.filter_map(|d| ErrorInfo::decode(d.value()).ok());
    let reason = infos.find_map(|info| Reason::from_str_name(&info.reason));
    if let Some(reason) = reason {
        current::note_reason(reason.as_str_name());
    }
}

/// Removes our reasons: the conformance suite compares details exactly.
pub(super) fn without_reason(error: &ConnectError) -> ConnectError {
    let mut bare = match error.message() {
        Some(message) => ConnectError::new(error.code(), message),
        None => ConnectError::from_code(error.code()),
    };
    for detail in error.details() {
        let ours = is_error_info(detail.type_url())
            && ErrorInfo::decode(detail.value()).is_ok_and(|info| info.domain == DOMAIN);
        if !ours {
            bare = bare.add_error_detail(detail.clone());
        }
    }
    if let Some(meta) = error.meta() {
        bare = bare.set_meta_from_headers(meta);
    }
    bare
}

fn is_error_info(type_url: &str) -> bool {
    type_url.rsplit('/').next() == Some("google.rpc.ErrorInfo")
}

pub(super) fn malformed(message: impl Into<String>) -> ConnectError {
    refusal(Code::InvalidArgument, Reason::MalformedRequest, message)
}

pub(super) fn unsupported(message: impl Into<String>) -> ConnectError {
    refusal(Code::Unimplemented, Reason::Unsupported, message)
}

pub(super) fn too_large(limit_bytes: usize) -> ConnectError {
    let message = format!("the message is larger than {limit_bytes} bytes");
    refusal(Code::ResourceExhausted, Reason::RequestTooLarge, message)
}

pub(super) fn internal(message: &'static str) -> ConnectError {
    refusal(Code::Internal, Reason::Internal, message)
}

pub(super) fn deadline_exceeded() -> ConnectError {
    let message = "the deadline of this request has passed";
    refusal(Code::DeadlineExceeded, Reason::DeadlineExceeded, message)
}

/// The memory budget is exhausted.
pub(super) fn overloaded() -> ConnectError {
    const SOON: Duration = Duration::from_secs(1);
    let message = "the server is overloaded: try again later";
    let error = refusal(Code::ResourceExhausted, Reason::Overloaded, message);
    with_retry(error, SOON)
}

pub(super) fn no_such_procedure() -> ConnectError {
    procedure_not_found("there is no such procedure")
}

pub(super) fn procedure_not_found(message: impl Into<String>) -> ConnectError {
    refusal(Code::Unimplemented, Reason::ProcedureNotFound, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_keeps_its_reason_or_gets_one_from_its_code() {
        let own = refusal(Code::Internal, Reason::StoreUnavailable, "x");
        assert_eq!(complete(own).details().len(), 1);
        let completed = complete(ConnectError::new(Code::InvalidArgument, "x"));
        let info = ErrorInfo::decode(completed.details()[0].value()).unwrap();
        assert_eq!(info.reason, "MALFORMED_REQUEST");
        assert_eq!(info.domain, "hallpass");
    }

    #[test]
    fn only_our_own_reason_is_removed() {
        let foreign = ErrorInfo {
            domain: "x".into(),
            ..ErrorInfo::default()
        };
        let error = malformed("m")
            .add_detail("google.rpc.ErrorInfo", foreign.encode_to_vec())
            .with_meta("retry-after", "1");
        let bare = without_reason(&error);
        assert_eq!(bare.details().len(), 1);
        assert_eq!(bare.message(), Some("m"));
        assert!(bare.meta().unwrap().contains_key("retry-after"));
    }
}
