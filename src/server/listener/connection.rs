//! One connection: HTTP/1 or HTTP/2, as its first bytes say, until it ends or must.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response};
use hyper::{
    body::{Body as _, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::Instant,
};
use tower::{Service, ServiceExt};

use super::{
    Peer,
    body::{Timed, UnderWay, Watched},
    io::Guarded,
    pulse::Pulse,
};
use crate::server::limits::Limits;

/// hyper's own bounds on a head lie above ours, so that a refusal is the edge's and the connection
/// lives on; past these, hyper refuses by itself and closes.
const HEAD_MARGIN: usize = 4;

/// An HTTP/2 peer that answers no ping is gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection before it is served.
pub(super) struct Connection<T> {
    pub(super) stream: T,
    pub(super) peer: Peer,
    pub(super) pulse: Arc<Pulse>,
    pub(super) limits: Arc<Limits>,
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection<T> {
    /// Serves until the peer leaves, a bound is reached, or `stopped` changes and nothing is under way.
    pub(super) async fn serve<S>(self, service: S, mut stopped: watch::Receiver<()>)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let Self {
            stream,
            peer,
            pulse,
            limits,
        } = self;
        let builder = builder(&limits);
        let socket = Guarded::new(stream, Arc::clone(&pulse), Arc::clone(&limits));
        let body_timeout = limits.body_timeout;
        let answer = service_fn(|request| {
            let until = Instant::now() + body_timeout;
            answer(service.clone(), request, peer, until, Arc::clone(&pulse))
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), answer));
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection was broken off");
                    }
                    return;
                }
                _ = stopped.changed(), if !stopping => {
                    stopping = true;
                    pulse.ask_to_leave();
                }
                () = pulse.leave.notified() => connection.as_mut().graceful_shutdown(),
                () = pulse.evicted.notified() => {
                    // A request may have begun since.
                    if pulse.waiting_since().is_some() {
                        return;
                    }
                }
            }
        }
    }
}

async fn answer<S>(
    service: S,
    request: Request<Incoming>,
    peer: Peer,
    until: Instant,
    pulse: Arc<Pulse>,
) -> Result<Response<Watched>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let under_way = UnderWay::new(pulse);
    let version = request.version();
    let mut request = request.map(|body| {
        if body.is_end_stream() {
            Body::empty()
        } else {
            Body::new(Timed::new(body, until))
        }
    });
    request.extensions_mut().insert(peer);
    let response = service.oneshot(request).await?;
    Ok(response.map(|body| Watched::new(body, under_way, version)))
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let head_bytes = (limits.max_header_bytes + limits.max_uri_bytes).saturating_mul(HEAD_MARGIN);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // It would run while an idle connection waits for its next request; the socket has our own.
        .header_read_timeout(None)
        .max_headers(limits.max_header_fields.saturating_mul(HEAD_MARGIN))
        .max_buf_size(head_bytes.max(64 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
