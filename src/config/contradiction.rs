//! Settings that are right by themselves and cannot both be.

use std::{net::SocketAddr, time::Duration};

use crate::domain::lifetime;

/// Two settings that cannot both be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// No token could be made with this default.
    #[error(
        "--default-{kind}-token-ttl (HALLPASS_DEFAULT_{}_TOKEN_TTL): must be at most {}, which is the maximum",
        kind.to_uppercase(),
        lifetime::show(*max)
    )]
    Lifetime {
        /// Of whose tokens.
        kind: &'static str,
        /// The longest life that may be.
        max: Duration,
    },
    /// Only one of them could be listened on.
    #[error(
        "--metrics-listen (HALLPASS_METRICS_LISTEN): {metrics} is where --listen has the server itself: give another port"
    )]
    Address {
        /// Where the metrics would be.
        metrics: SocketAddr,
    },
}
