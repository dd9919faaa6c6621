//! gRPC's own services, which take no credential: health, and reflection.
//!
//! `grpc.health.v1.Health` says whether the server and each of its services can serve. All depend on the same store,
//! so they have the same status. Reflection is tonic's. The streams of both are bounded together.

use std::{collections::HashMap, future, io, net::IpAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use bytes::Bytes;
use connectrpc_axum::{Code, ConnectError, ConnectRequest, ConnectResponse, StreamBody};
use futures_util::{Stream, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody as FrameStream};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{self, MissedTickBehavior},
};
use tonic::Status;

use crate::{
    app::{App, caller::ClientInfo},
    proto::{
        self,
        grpc::health::v1::{
            HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
            health_check_response::ServingStatus, health_connect::HealthServiceBuilder,
        },
        hallpass::v1::Reason,
    },
};

use super::{
    anonymous::{AnonymousStream, AnonymousStreams, EndReason, TOO_MANY},
    authenticate::RequestOrigin,
    current, edge,
    endpoints::{self, Endpoint},
    error::with_retry,
};

/// How often the store is checked.
const INTERVAL: Duration = Duration::from_secs(5);

/// When to retry if there are too many streams.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The current status, and the streams that watch it.
#[derive(Clone, Debug)]
pub(super) struct Health {
    status: watch::Receiver<ServingStatus>,
    streams: AnonymousStreams,
}

/// The task that updates the status, aborted when this is dropped.
#[derive(Debug)]
pub(super) struct HealthTask {
    status: watch::Sender<ServingStatus>,
    task: AbortHandle,
}

impl Health {
    pub(super) fn start(app: &App, streams: AnonymousStreams) -> (Self, HealthTask) {
        let (sender, status) = watch::channel(ServingStatus::NotServing);
        let task = tokio::spawn(poll_status(app.clone(), sender.clone())).abort_handle();
        let task = HealthTask {
            status: sender,
            task,
        };
        (Self { status, streams }, task)
    }

    pub(super) fn routes(self) -> Router {
        HealthServiceBuilder::new()
            .check(check)
            .list(list)
            .watch(watch_status)
            .with_state(self)
            .build()
    }

    /// `None`: the service is unknown. The empty name stands for the whole server.
    fn status_of(&self, service: &str) -> Option<ServingStatus> {
        let is_known = service.is_empty() || endpoints::services().contains(&service);
        is_known.then(|| *self.status.borrow())
    }
}

impl HealthTask {
    /// Reports that the server no longer serves, whatever the state of the store.
    pub(super) fn stop(&self) {
        self.task.abort();
        self.status.send_replace(ServingStatus::NotServing);
    }
}

impl Drop for HealthTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn poll_status(app: App, status: watch::Sender<ServingStatus>) {
    let mut interval = time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let now = if app.is_ready().await {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        status.send_if_modified(|status| std::mem::replace(status, now) != now);
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

async fn check(
    State(health): State<Health>,
    ConnectRequest(request): ConnectRequest<HealthCheckRequest>,
) -> Result<ConnectResponse<HealthCheckResponse>, ConnectError> {
    current::note_routine();
    match health.status_of(&request.service) {
        Some(status) => Ok(ConnectResponse(response(status))),
        None => Err(edge::refusal(
            Code::NotFound,
            Reason::ProcedureNotFound,
            "there is no such service",
        )),
    }
}

async fn list(
    State(health): State<Health>,
    ConnectRequest(_): ConnectRequest<HealthListRequest>,
) -> Result<ConnectResponse<HealthListResponse>, ConnectError> {
    current::note_routine();
    let status = response(*health.status.borrow());
    let services = [&[""], endpoints::services()].concat();
    let statuses: HashMap<_, _> = services
        .into_iter()
        .map(|service| (service.to_owned(), status))
        .collect();
    Ok(ConnectResponse(HealthListResponse { statuses }))
}

async fn watch_status(
    State(health): State<Health>,
    RequestOrigin(origin): RequestOrigin,
    ConnectRequest(request): ConnectRequest<HealthCheckRequest>,
) -> Result<
    ConnectResponse<StreamBody<impl Stream<Item = Result<HealthCheckResponse, ConnectError>>>>,
    ConnectError,
> {
    current::note_routine();
    let Some(stream) = health.streams.admit(origin.ip) else {
        let refusal = edge::refusal(Code::ResourceExhausted, Reason::Overloaded, TOO_MANY);
        return Err(with_retry(refusal, RETRY_AFTER));
    };
    let is_known = health.status_of(&request.service).is_some();
    let watching = WatchState {
        status: is_known.then(|| health.status.clone()),
        stream,
        last_sent: None,
    };
    let statuses = stream::unfold(Some(watching), async |watching| {
        let mut watching = watching?;
        match watching.next().await {
            Ok(status) => Some((Ok(response(status)), Some(watching))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(ConnectResponse(StreamBody::new(statuses)))
}

struct WatchState {
    /// `None`: the service is unknown and will remain so.
    status: Option<watch::Receiver<ServingStatus>>,
    stream: AnonymousStream,
    last_sent: Option<ServingStatus>,
}

impl WatchState {
    /// Waits for a status that differs from the last one sent, or for the end of the stream.
    async fn next(&mut self) -> Result<ServingStatus, ConnectError> {
        loop {
            let status = match &mut self.status {
                Some(status) => *status.borrow_and_update(),
                None => ServingStatus::ServiceUnknown,
            };
            if self.last_sent.replace(status) != Some(status) {
                return Ok(status);
            }
            tokio::select! {
                // At shutdown the new status is sent before the stream ends.
                biased;
                () = changed(&mut self.status) => {}
                ended = self.stream.ended() => {
                    let reason = match ended {
                        EndReason::Expired => Reason::DeadlineExceeded,
                        EndReason::Stopping | EndReason::Evicted => Reason::Overloaded,
                    };
                    return Err(edge::refusal(Code::Unavailable, reason, ended.message()));
                }
            }
        }
    }
}

async fn changed(status: &mut Option<watch::Receiver<ServingStatus>>) {
    if let Some(status) = status
        && status.changed().await.is_ok()
    {
        return;
    }
    future::pending::<()>().await;
}

/// Both versions of the reflection service.
pub(super) fn reflection(streams: AnonymousStreams) -> io::Result<Router> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection().build_v1().map_err(io::Error::other)?;
    let v1alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
    let bounded = middleware::from_fn(move |request: Request, next: Next| {
        let ip = request.extensions().get::<ClientInfo>().and_then(|o| o.ip);
        bounded(streams.clone(), ip, request, next)
    });
    Ok(Router::new()
        .route_service(&methods_of(&endpoints::REFLECTION), v1)
        .route_service(&methods_of(&endpoints::REFLECTION_ALPHA), v1alpha)
        .layer(bounded))
}

/// The route that matches all methods of an endpoint's service.
fn methods_of(endpoint: &Endpoint) -> String {
    format!("/{}/{{method}}", endpoint.service().unwrap_or_default())
}

/// Ends the stream at its limits, with a status that says why.
async fn bounded(
    streams: AnonymousStreams,
    ip: Option<IpAddr>,
    request: Request,
    next: Next,
) -> Response {
    let Some(stream) = streams.admit(ip) else {
        return Status::resource_exhausted(TOO_MANY).into_http();
    };
    let response = next.run(request).await;
    response.map(|body| {
        let frames = stream::unfold(Some((body, stream)), next_frame);
        Body::new(FrameStream::new(frames))
    })
}

type Rest = Option<(Body, AnonymousStream)>;

async fn next_frame(rest: Rest) -> Option<(Result<Frame<Bytes>, axum::Error>, Rest)> {
    let (mut body, mut stream) = rest?;
    tokio::select! {
        frame = body.frame() => Some((frame?, Some((body, stream)))),
        ended = stream.ended() => {
            let mut trailers = http::HeaderMap::new();
            let added = Status::unavailable(ended.message()).add_header(&mut trailers);
            added.expect("the message is ASCII");
            Some((Ok(Frame::trailers(trailers)), None))
        }
    }
}
