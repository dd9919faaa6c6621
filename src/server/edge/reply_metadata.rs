//! What a handler wants to send besides its message: header fields and trailers of the reply.
//!
//! The router drops both, so the edge puts a slot into the request, handlers fill it, and the last step
//! writes it out as the caller's protocol has it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::FromRequestParts;
use connectrpc_axum::ConnectError;
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};

use super::error;

/// The slot. It is an extractor: a handler takes it as an argument.
#[derive(Clone, Debug, Default)]
pub struct ReplyMetadata(Arc<Mutex<Fields>>);

#[derive(Debug, Default)]
struct Fields {
    headers: HeaderMap,
    trailers: HeaderMap,
}

impl ReplyMetadata {
    /// Adds a header field to the reply, be it a message or an error.
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
        slot.ok_or_else(|| error::internal("the call did not come through the edge"))
    }
}
