//! What became of a call, for the access log and the metrics outside of the edge.

use std::sync::Arc;

use connectrpc_axum::Code;
use http::Extensions;

use super::wire::Protocol;

/// It is found in the extensions of every reply to a call.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The canonical path; `None` where there is no such procedure.
    pub procedure: Option<Arc<str>>,
    /// The caller's protocol; `None` where it could not be told.
    pub protocol: Option<Protocol>,
    /// The error's code; `None` for success and for streams, whose end is not known when they begin.
    pub code: Option<Code>,
}

impl Outcome {
    pub(super) fn note(self, extensions: &mut Extensions) {
        extensions.insert(self);
    }
}
