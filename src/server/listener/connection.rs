//! One connection: HTTP/1 or HTTP/2, as its first bytes say, until it ends or must.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
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
};
use tower::{Service, ServiceExt};

use super::{
    OverBudget, Peer,
    body::{BodyMemory, Timed, UnderWay, Watched},
    budget::REQUEST_BYTES,
    io::Guarded,
    pulse::Pulse,
};
use crate::server::limits::Limits;

tokio::task_local! {
    /// The connection whose request this task is serving.
    static CONNECTION: Arc<Pulse>;
}

/// Notes that the request, that this task is serving, showed a good credential: its connection is no longer the
/// first to go when there are too many.
pub(in crate::server) fn note_authenticated() {
    let noted = CONNECTION.try_with(|pulse| pulse.note_authenticated());
    // Elsewhere, in a pipe's test or a job, nobody counts connections.
    noted.unwrap_or_default();
}

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
        let _closed = CloseOnDrop(Arc::clone(&pulse));
        let answer =
            service_fn(|request| answer(service.clone(), request, peer, Arc::clone(&pulse)));
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
                    if pulse.makes_room() {
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
    pulse: Arc<Pulse>,
) -> Result<Response<Watched>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let version = request.version();
    let memory = (!request.body().is_end_stream()).then(|| BodyMemory::new(Arc::clone(&pulse)));
    let (mut under_way, fits) =
        UnderWay::begin(Arc::clone(&pulse), head_bytes(&request), memory.clone());
    let mut request = request.map(|body| match &memory {
        None => Body::empty(),
        Some(memory) => Body::new(Timed::new(body, Arc::clone(memory))),
    });
    request.extensions_mut().insert(peer);
    if !fits {
        request.extensions_mut().insert(OverBudget);
        // Nobody reads it, not even to throw it away: that would keep the head for as long.
        *request.body_mut() = Body::empty();
    }
    let mut response = CONNECTION.scope(pulse, service.oneshot(request)).await?;
    if !under_way.has_room_for(&response.body().size_hint()) {
        response = no_room();
    }
    // What is left of the body stands where HTTP/1 has its next request: hyper reads no more, and closes.
    let is_unread = memory.as_ref().is_some_and(|memory| !memory.is_read());
    if is_unread && version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response.map(|body| Watched::new(body, under_way, version)))
}

/// What a head holds in memory.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let fields = request.headers().iter();
    let fields: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |t| t.as_str().len());
    REQUEST_BYTES + fields + target
}

/// Instead of a reply that nobody could keep until its reader takes it.
fn no_room() -> Response<Body> {
    refusal("there is no memory for the reply, as others do not take theirs: try again later\n")
}

/// What a connection is told whose network has all that it may have.
pub(super) async fn refuse(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    let text = "there are too many connections from this network: try again later\n";
    let mut response = refusal(text);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    Ok(response)
}

fn refusal(text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Tells that the socket is gone, however that came.
struct CloseOnDrop(Arc<Pulse>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
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
        .initial_stream_window_size(limits.http2_window_bytes)
        .initial_connection_window_size(limits.http2_window_bytes)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
