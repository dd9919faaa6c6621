//! `grpc.health.v1.Health`: whether the server and each of its services can serve. All depend on the same store, so
//! they have the same status.

use std::{collections::HashMap, future, time::Duration};

use axum::{Router, extract::State};
use connectrpc_axum::{Code, ConnectError, ConnectRequest, ConnectResponse, StreamBody};
use futures_util::{Stream, stream};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{self, MissedTickBehavior},
};

use crate::{
    app::App,
    proto::{
        grpc::health::v1::{
            HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
            health_check_response::ServingStatus, health_connect::HealthServiceBuilder,
        },
        hallpass::v1::Reason,
    },
};

use super::super::{
    anonymous_streams::{AnonymousStream, AnonymousStreams, EndReason, TOO_MANY},
    auth::RequestOrigin,
    current, edge, endpoints,
    error::with_retry,
};

/// How often the store is checked.
const INTERVAL: Duration = Duration::from_secs(5);

/// When to retry if there are too many streams.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The current status, and the streams that watch it.
#[derive(Clone, Debug)]
pub(in crate::server) struct Health {
    status: watch::Receiver<ServingStatus>,
    streams: AnonymousStreams,
}

/// The task that updates the status, aborted when this is dropped.
#[derive(Debug)]
pub(in crate::server) struct HealthTask {
    status: watch::Sender<ServingStatus>,
    task: AbortHandle,
}

impl Health {
    pub(in crate::server) fn start(app: &App, streams: AnonymousStreams) -> (Self, HealthTask) {
        let (sender, status) = watch::channel(ServingStatus::NotServing);
        let task = tokio::spawn(poll_status(app.clone(), sender.clone())).abort_handle();
        let task = HealthTask {
            status: sender,
            task,
        };
        (Self { status, streams }, task)
    }

    pub(in crate::server) fn routes(self) -> Router {
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
    pub(in crate::server) fn stop(&self) {
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
