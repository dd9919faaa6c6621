//! gRPC's own services, which take no credential: health, and reflection.
//!
//! `grpc.health.v1.Health` says whether the server and each of its services can serve. All depend on the same store,
//! so they have the same status. Reflection is tonic's. The streams of both are bounded together.

use std::{collections::HashMap, future, io, net::IpAddr, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use connectrpc_axum::Code;
use futures_util::{Stream, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{self, MissedTickBehavior},
};
use tonic::Status;
use tower::ServiceExt;

use crate::{
    app::App,
    domain::reason::Reason,
    proto::{
        self,
        grpc::health::v1::{
            HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
            health_check_response::ServingStatus, health_connect::HealthServiceBuilder,
        },
    },
};

use super::{
    anonymous::{AnonymousStream, AnonymousStreams, EndReason, TOO_MANY},
    context::RequestContext,
    edge::handlers::{server_stream, unary},
    endpoints::{self, Endpoint},
    error::ApiError,
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
            .check(unary(check))
            .list(unary(list))
            .watch(server_stream(watch_status))
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
    health: Health,
    _: RequestContext,
    request: HealthCheckRequest,
) -> Result<HealthCheckResponse, ApiError> {
    match health.status_of(&request.service) {
        Some(status) => Ok(response(status)),
        None => Err(ApiError::new(
            Code::NotFound,
            Reason::ProcedureNotFound,
            "there is no such service",
        )),
    }
}

async fn list(
    health: Health,
    _: RequestContext,
    _: HealthListRequest,
) -> Result<HealthListResponse, ApiError> {
    let status = response(*health.status.borrow());
    let services = [&[""], endpoints::services()].concat();
    let statuses: HashMap<_, _> = services
        .into_iter()
        .map(|service| (service.to_owned(), status))
        .collect();
    Ok(HealthListResponse { statuses })
}

async fn watch_status(
    health: Health,
    context: RequestContext,
    request: HealthCheckRequest,
) -> Result<impl Stream<Item = Result<HealthCheckResponse, ApiError>>, ApiError> {
    let Some(stream) = health.streams.admit(context.client().ip) else {
        let refusal = ApiError::new(Code::ResourceExhausted, Reason::Overloaded, TOO_MANY);
        return Err(refusal.with_retry(RETRY_AFTER));
    };
    let is_known = health.status_of(&request.service).is_some();
    let watching = WatchState {
        status: is_known.then(|| health.status.clone()),
        stream,
        last_sent: None,
    };
    Ok(stream::unfold(Some(watching), async |watching| {
        let mut watching = watching?;
        match watching.next().await {
            Ok(status) => Some((Ok(response(status)), Some(watching))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

struct WatchState {
    /// `None`: the service is unknown and will remain so.
    status: Option<watch::Receiver<ServingStatus>>,
    stream: AnonymousStream,
    last_sent: Option<ServingStatus>,
}

impl WatchState {
    /// Waits for a status that differs from the last one sent, or for the end of the stream.
    async fn next(&mut self) -> Result<ServingStatus, ApiError> {
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
                    return Err(ApiError::new(Code::Unavailable, reason, ended.message()));
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

/// Reflection, in both versions.
#[derive(Clone, Debug)]
pub(super) struct Reflection {
    services: Router,
    streams: AnonymousStreams,
}

impl Reflection {
    pub(super) fn new(streams: AnonymousStreams) -> io::Result<Self> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        let v1 = reflection().build_v1().map_err(io::Error::other)?;
        let v1alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
        let services = Router::new()
            .route_service(&methods_of(&endpoints::REFLECTION), v1)
            .route_service(&methods_of(&endpoints::REFLECTION_ALPHA), v1alpha);
        Ok(Self { services, streams })
    }

    /// Admits one more stream.
    pub(super) fn admit(&self, ip: Option<IpAddr>) -> Result<AnonymousStream, ApiError> {
        let stream = self.streams.admit(ip);
        stream.ok_or_else(|| ApiError::new(Code::ResourceExhausted, Reason::Overloaded, TOO_MANY))
    }

    /// Answers a request in gRPC. The stream ends at its limits, with a status that says why.
    pub(super) async fn call(&self, stream: AnonymousStream, request: Request) -> Response {
        let Ok(response) = self.services.clone().oneshot(request).await;
        response.map(|body| {
            let frames = stream::unfold(Some((body, stream)), next_frame);
            Body::new(StreamBody::new(frames))
        })
    }
}

/// The route that matches all methods of an endpoint's service.
fn methods_of(endpoint: &Endpoint) -> String {
    format!("/{}/{{method}}", endpoint.service().unwrap_or_default())
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
