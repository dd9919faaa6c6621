//! One connection, HTTP/1 or HTTP/2 by its first bytes, from accept to close.

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

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
use tokio::{sync::watch, time::timeout};
use tower::{Service, ServiceExt};

use super::{
    Accepted, OverBudget,
    body::{ActiveRequest, BodyMemory, ReplyBody, RequestBody},
    connection_state::ConnectionState,
    memory_budget::REQUEST_BYTES,
    timeout_io::TimeoutIo,
    transport::Established,
};
use crate::server::limits::Limits;

tokio::task_local! {
    /// The connection whose request this task is serving.
    static CONNECTION: Arc<ConnectionState>;
}

/// Notes that the request this task is serving has authenticated: its connection is no longer the first to be
/// evicted.
pub(in crate::server) fn note_authenticated() {
    let noted = CONNECTION.try_with(|state| state.note_authenticated());
    // Outside of a connection (in tests and jobs) there is nothing to note.
    noted.unwrap_or_default();
}

/// hyper's limits on a head are this many times ours, so that the edge refuses first and the connection stays
/// usable; beyond hyper's own limits, hyper refuses and closes the connection.
const HEAD_MARGIN: usize = 4;

/// An HTTP/2 peer that does not answer a ping within the timeout is considered gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that is not being served yet.
pub(super) struct Connection {
    pub(super) accepted: Accepted,
    pub(super) state: Arc<ConnectionState>,
}

impl Connection {
    /// Serves until the peer closes, a limit is exceeded, or `stopped` changes and no request is in flight.
    pub(super) async fn serve<S>(self, service: S, mut stopped: watch::Receiver<()>)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let Self { accepted, state } = self;
        let _closed = CloseOnDrop(Arc::clone(&state));
        let Some(established) = handshake(accepted.handshake, &state, &mut stopped).await else {
            return;
        };
        let (peer, certificate) = (accepted.peer, established.client_certificate);
        let builder = builder(&state.shared.limits);
        let socket = TimeoutIo::new(established.stream, Arc::clone(&state));
        let answer = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            if let Some(certificate) = &certificate {
                request.extensions_mut().insert(certificate.clone());
            }
            answer(service.clone(), request, Arc::clone(&state))
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), answer));
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended with an error");
                    }
                    return;
                }
                _ = stopped.changed(), if !stopping => {
                    stopping = true;
                    state.begin_shutdown();
                }
                () = state.shutdown.notified() => connection.as_mut().graceful_shutdown(),
                () = state.evicted.notified() => {
                    if state.confirm_eviction() {
                        return;
                    }
                }
            }
        }
    }
}

/// What HTTP is spoken over, once the handshake is complete. `None`: it failed, took too long, or the connection must
/// close.
async fn handshake(
    handshake: impl Future<Output = io::Result<Established>>,
    state: &ConnectionState,
    stopped: &mut watch::Receiver<()>,
) -> Option<Established> {
    tokio::select! {
        biased;
        done = timeout(state.shared.limits.handshake_timeout, handshake) => match done {
            Ok(Ok(established)) => {
                state.handshake_done();
                return Some(established);
            }
            Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
            Err(_) => tracing::debug!("a handshake took too long"),
        },
        _ = stopped.changed() => {}
        () = state.evicted.notified() => {}
    }
    None
}

async fn answer<S>(
    service: S,
    request: Request<Incoming>,
    state: Arc<ConnectionState>,
) -> Result<Response<ReplyBody>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let version = request.version();
    let memory = (!request.body().is_end_stream()).then(|| BodyMemory::new(Arc::clone(&state)));
    let (mut active_request, fits) =
        ActiveRequest::begin(Arc::clone(&state), head_bytes(&request), memory.clone());
    let mut request = request.map(|body| match &memory {
        None => Body::empty(),
        Some(memory) => Body::new(RequestBody::new(body, Arc::clone(memory))),
    });
    if !fits {
        request.extensions_mut().insert(OverBudget);
        // The body is not even drained: that would keep the head in memory for as long.
        *request.body_mut() = Body::empty();
    }
    let mut response = CONNECTION.scope(state, service.oneshot(request)).await?;
    if !active_request.try_reserve_reply(&response.body().size_hint()) {
        response = reply_out_of_memory();
    }
    // In HTTP/1 the unread rest of the body is where the next request would be, so the connection is closed.
    let is_unread = memory.as_ref().is_some_and(|memory| !memory.is_read());
    if is_unread && version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response.map(|body| ReplyBody::new(body, active_request, version)))
}

/// Memory that the head of a request takes, in bytes.
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

/// Replaces a reply that does not fit into the memory budget.
fn reply_out_of_memory() -> Response<Body> {
    refusal(
        "there is no memory for the reply: too many clients are slow to read theirs; try again later\n",
    )
}

/// Answers a connection whose network already has its maximum.
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

/// Marks the connection as closed, however it ended.
struct CloseOnDrop(Arc<ConnectionState>);

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
        // hyper's timer would also run while an idle connection waits for its next request; the socket has its own.
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
