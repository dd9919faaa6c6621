//! What the head of a request said, for the steps behind `classify` and for handlers.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use connectrpc_axum::ConnectError;
use http::{StatusCode, request::Parts};
use tokio::time::Instant;

use super::{error, method::Method, wire::Wire};
use crate::server::endpoints::Endpoint;

/// A call that may go on: what the head says of it. It is in the request's extensions, and an extractor.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) method: Arc<Method>,
    pub(super) wire: Wire,
    pub(super) compressed: bool,
    /// Whether a field that the descriptors do not have is refused in protobuf, too.
    pub(super) refuses_unknown_fields: bool,
    pub(super) timeout: Option<std::time::Duration>,
    pub(super) deadline: Instant,
}

impl Call {
    /// The procedure; its path is canonical, whatever alias was called.
    pub fn method(&self) -> &Arc<Method> {
        &self.method
    }

    /// The caller's protocol, codec and compression.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// The timeout that the caller asked for.
    pub fn timeout(&self) -> Option<std::time::Duration> {
        self.timeout
    }

    /// When the call must be over: the caller's timeout or the server's, whichever is sooner.
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

/// A call that goes no further.
#[derive(Clone)]
pub(super) struct RefusedCall {
    pub(super) error: ConnectError,
    /// The status in Connect, where it is not the code's own.
    pub(super) status: Option<StatusCode>,
}

/// Who asks for what. It is in the extensions of every request that is a call.
#[derive(Clone)]
pub(super) struct CallTarget {
    pub(super) wire: Wire,
    /// The procedure's line, if there is such a procedure and it has one.
    pub(super) endpoint: Option<&'static Endpoint>,
}

/// What a step says that is asked without `classify` before it.
pub(super) fn not_classified() -> ConnectError {
    error::internal("the call was not classified")
}
