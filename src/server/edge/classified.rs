//! What `classify` has read from the head of a request, for later steps and for handlers.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use connectrpc_axum::ConnectError;
use http::{StatusCode, request::Parts};
use tokio::time::Instant;

use super::{error, method::Method, wire::Wire};
use crate::server::endpoints::Endpoint;

/// A call with a valid head. It is an extension of the request, and an extractor.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) method: Arc<Method>,
    pub(super) wire: Wire,
    pub(super) compressed: bool,
    /// Whether unknown fields are rejected in protobuf, as they are in JSON.
    pub(super) refuses_unknown_fields: bool,
    pub(super) timeout: Option<std::time::Duration>,
    pub(super) deadline: Instant,
}

impl Call {
    /// The procedure. Its path is canonical, even if an alias was called.
    pub fn method(&self) -> &Arc<Method> {
        &self.method
    }

    /// The caller's protocol, codec and compression.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// The timeout that the caller requested.
    pub fn timeout(&self) -> Option<std::time::Duration> {
        self.timeout
    }

    /// When the call must be over: the earlier of the caller's timeout and the server's.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ConnectError> {
        let call = parts.extensions.get().cloned();
        call.ok_or_else(not_classified)
    }
}

/// A call that is rejected for its head.
#[derive(Clone)]
pub(super) struct RefusedCall {
    pub(super) error: ConnectError,
    /// The HTTP status in Connect, if it is not the code's own.
    pub(super) status: Option<StatusCode>,
}

/// The caller's protocol and the procedure: an extension of every request that is a call.
#[derive(Clone)]
pub(super) struct CallTarget {
    pub(super) wire: Wire,
    /// The procedure's entry in the list of endpoints, if it has one.
    pub(super) endpoint: Option<&'static Endpoint>,
}

/// The error of a step that was called without `classify` before it.
pub(super) fn not_classified() -> ConnectError {
    error::internal("the call was not classified")
}
