//! Errors that the edge itself makes.

use std::{borrow::Cow, time::Duration};

use connectrpc_axum::Code;

use crate::{domain::reason::Reason, server::error::ApiError};

pub(super) fn malformed(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::InvalidArgument, Reason::MalformedRequest, message)
}

pub(super) fn unsupported(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::Unimplemented, Reason::Unsupported, message)
}

pub(super) fn too_large(limit_bytes: usize) -> ApiError {
    let message = format!("the message is larger than {limit_bytes} bytes");
    ApiError::new(Code::ResourceExhausted, Reason::RequestTooLarge, message)
}

pub(super) fn internal(message: &'static str) -> ApiError {
    ApiError::new(Code::Internal, Reason::Internal, message)
}

pub(super) fn panicked() -> ApiError {
    internal("something is wrong in the server")
}

pub(super) fn deadline_exceeded() -> ApiError {
    let message = "the deadline of this request has passed";
    ApiError::new(Code::DeadlineExceeded, Reason::DeadlineExceeded, message)
}

/// The memory budget is exhausted.
pub(super) fn overloaded() -> ApiError {
    const SOON: Duration = Duration::from_secs(1);
    let message = "the server is overloaded: try again later";
    ApiError::new(Code::ResourceExhausted, Reason::Overloaded, message).with_retry(SOON)
}

pub(super) fn procedure_not_found(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::Unimplemented, Reason::ProcedureNotFound, message)
}

/// An error of connectrpc-axum (a message that cannot be decoded) or of tonic. They have no reason, so it gets the
/// one that its code suggests.
pub(super) fn foreign(code: Code, message: Option<String>) -> ApiError {
    let reason = match code {
        Code::InvalidArgument | Code::OutOfRange => Reason::MalformedRequest,
        Code::ResourceExhausted => Reason::RequestTooLarge,
        Code::Unimplemented => Reason::Unsupported,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        Code::PermissionDenied => Reason::PermissionDenied,
        Code::Unauthenticated => Reason::CredentialsInvalid,
        Code::Unavailable => Reason::Overloaded,
        _ => Reason::Internal,
    };
    ApiError::new(code, reason, message.unwrap_or_default())
}
