//! What became of a call, for the access log and the metrics outside of the edge.

use connectrpc_axum::Code;
use http::Extensions;

use super::wire::Protocol;
use crate::server::endpoints::Endpoint;

/// It is found in the extensions of every reply to a call.
#[derive(Clone, Debug)]
pub struct CallOutcome {
    /// The procedure; `None` where there is no such one in the list.
    pub endpoint: Option<&'static Endpoint>,
    /// The caller's protocol; `None` where it could not be told.
    pub protocol: Option<Protocol>,
    /// The error's code; `None` for success and for streams, whose end is not known when they begin.
    pub code: Option<Code>,
}

impl CallOutcome {
    pub(super) fn note(self, extensions: &mut Extensions) {
        extensions.insert(self);
    }
}
