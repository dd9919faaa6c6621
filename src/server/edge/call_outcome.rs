//! The result of a call, for the access log and the metrics outside of the edge.

use connectrpc_axum::Code;
use http::Extensions;

use super::wire::Protocol;
use crate::server::endpoints::Endpoint;

/// Extension of every reply to a call.
#[derive(Clone, Debug)]
pub struct CallOutcome {
    /// The procedure; `None` if it is not in the list of endpoints.
    pub endpoint: Option<&'static Endpoint>,
    /// The caller's protocol; `None` if it could not be determined.
    pub protocol: Option<Protocol>,
    /// The error's code; `None` for success, and for streams, whose end is not known when they begin.
    pub code: Option<Code>,
}

impl CallOutcome {
    pub(super) fn note(self, extensions: &mut Extensions) {
        extensions.insert(self);
    }
}
