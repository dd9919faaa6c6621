//! Streams of callers without a credential: health's Watch, and reflection. Their number and duration are limited,
//! and shutdown does not wait for them.

use std::{net::IpAddr, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::{
    domain::address::site_of,
    metrics::{Bound, LoadShed},
};

use super::{
    concurrency_limit::{ConcurrencyLimit, Permit},
    limits::Limits,
};

/// Admits anonymous streams.
#[derive(Clone, Debug)]
pub(super) struct AnonymousStreams {
    limit: ConcurrencyLimit,
    lifetime: Duration,
    stopping: watch::Receiver<bool>,
}

/// An admitted stream.
#[derive(Debug)]
pub(super) struct AnonymousStream {
    permit: Permit,
    until: Instant,
    stopping: watch::Receiver<bool>,
}

/// Why a stream was ended. The message is for the client, which may start another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndReason {
    Stopping,
    Expired,
    Evicted,
}

impl EndReason {
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Stopping => "the server is stopping",
            Self::Expired => "this stream has reached its maximum duration: start another one",
            Self::Evicted => "there are too many streams: start another one later",
        }
    }
}

/// The error for a stream that is not admitted.
pub(super) const TOO_MANY: &str = "there are too many anonymous streams";

impl AnonymousStreams {
    /// `stopping` becomes true, or is closed, when the server shuts down.
    pub(super) fn new(
        limits: &Limits,
        load_shed: LoadShed,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            limit: ConcurrencyLimit::new(
                (load_shed, Bound::AnonymousStreams),
                limits.max_anonymous_streams,
                limits.max_anonymous_streams_per_network,
                limits.eviction_min_age,
            ),
            lifetime: limits.anonymous_stream_timeout,
            stopping,
        }
    }

    /// Admits one more stream, evicting the oldest if need be; `None` if that is too young.
    pub(super) fn admit(&self, ip: Option<IpAddr>) -> Option<AnonymousStream> {
        Some(AnonymousStream {
            permit: self.limit.admit(ip.map(site_of))?,
            until: Instant::now() + self.lifetime,
            stopping: self.stopping.clone(),
        })
    }
}

impl AnonymousStream {
    /// Completes when the stream must end.
    pub(super) async fn ended(&mut self) -> EndReason {
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => EndReason::Stopping,
            () = self.permit.revoked() => EndReason::Evicted,
            () = tokio::time::sleep_until(self.until) => EndReason::Expired,
        }
    }
}
