//! Streams that callers without a credential may hold: health's Watch, and reflection. They are few, they end
//! after a time, and the server's stop does not wait for them.

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

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct AnonymousStreams {
    limit: ConcurrencyLimit,
    lifetime: Duration,
    stopping: watch::Receiver<bool>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct AnonymousStream {
    permit: Permit,
    until: Instant,
    stopping: watch::Receiver<bool>,
}

/// Why a stream is over. What it says is for the client, which may come again.
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
            Self::Expired => "the time of this stream is over: begin another one",
            Self::Evicted => "there are too many streams: begin another one later",
        }
    }
}

/// What a stream is told that cannot be admitted.
pub(super) const TOO_MANY: &str = "there are too many streams without a credential";

impl AnonymousStreams {
    /// `stopping` turns true, or is closed, as the server stops.
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

    /// One more, if there is room or the oldest can make it.
    pub(super) fn admit(&self, ip: Option<IpAddr>) -> Option<AnonymousStream> {
        Some(AnonymousStream {
            permit: self.limit.admit(ip.map(site_of))?,
            until: Instant::now() + self.lifetime,
            stopping: self.stopping.clone(),
        })
    }
}

impl AnonymousStream {
    /// Completes when it must end.
    pub(super) async fn ended(&mut self) -> EndReason {
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => EndReason::Stopping,
            () = self.permit.revoked() => EndReason::Evicted,
            () = tokio::time::sleep_until(self.until) => EndReason::Expired,
        }
    }
}
