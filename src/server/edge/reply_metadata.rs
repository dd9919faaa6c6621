//! Header fields and trailers that a handler adds to its reply.
//!
//! The router drops both, so the edge puts this into the request's extensions, handlers fill it, and the last step
//! writes it in the caller's protocol.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::FromRequestParts;
use connectrpc_axum::ConnectError;
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};

use super::error;

/// An extractor, which handlers take as an argument.
#[derive(Clone, Debug, Default)]
pub struct ReplyMetadata(Arc<Mutex<Fields>>);

#[derive(Debug, Default)]
struct Fields {
    headers: HeaderMap,
    trailers: HeaderMap,
}

impl ReplyMetadata {
    /// Adds a header field to the reply, whether it is a message or an error.
    pub fn add_header(&self, name: HeaderName, value: HeaderValue) {
        self.lock().headers.append(name, value);
    }

    /// Adds a trailer.
    pub fn add_trailer(&self, name: HeaderName, value: HeaderValue) {
        self.lock().trailers.append(name, value);
    }

    pub(super) fn take_headers(&self) -> HeaderMap {
        std::mem::take(&mut self.lock().headers)
    }

    pub(super) fn take_trailers(&self) -> HeaderMap {
        std::mem::take(&mut self.lock().trailers)
    }

    fn lock(&self) -> MutexGuard<'_, Fields> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sync> FromRequestParts<S> for ReplyMetadata {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ConnectError> {
        let slot = parts.extensions.get().cloned();
        slot.ok_or_else(|| error::internal("the handler was called outside of the edge"))
    }
}
