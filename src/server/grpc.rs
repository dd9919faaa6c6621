//! gRPC's own services, by tonic: health checking and server reflection.

use std::{io, time::Duration};

use axum::Router;
use tokio::{task::JoinHandle, time};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{app::App, proto};

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a client may ask after; the empty name is the whole server.
const SERVICES: [&str; 8] = [
    "",
    "hallpass.v1.TokenService",
    "hallpass.v1.UserService",
    "hallpass.v1.AuthnService",
    "hallpass.v1.AuditService",
    "hallpass.v1.AdminService",
    "buf.registry.owner.v1.UserService",
    "envoy.service.auth.v3.Authorization",
];

/// The services, and the task that keeps the health status true. The task ends with them.
#[derive(Debug)]
pub(super) struct Services {
    routes: Router,
    watch: JoinHandle<()>,
}

impl Services {
    pub(super) fn start(app: &App) -> io::Result<Self> {
        let (reporter, health) = tonic_health::server::health_reporter();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        let v1 = reflection().build_v1().map_err(io::Error::other)?;
        let v1alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
        let routes = Router::new()
            .route_service("/grpc.health.v1.Health/{method}", health)
            .route_service("/grpc.reflection.v1.ServerReflection/{method}", v1)
            .route_service(
                "/grpc.reflection.v1alpha.ServerReflection/{method}",
                v1alpha,
            );
        let watch = tokio::spawn(watch(app.clone(), reporter));
        Ok(Self { routes, watch })
    }

    pub(super) fn routes(&self) -> Router {
        self.routes.clone()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Sets the status of each service by whether the store answers.
async fn watch(app: App, reporter: HealthReporter) {
    let mut look = time::interval(LOOK_EVERY);
    let mut told = None;
    loop {
        look.tick().await;
        let ready = app.is_ready().await;
        if told.replace(ready) == Some(ready) {
            continue;
        }
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in SERVICES {
            reporter.set_service_status(service, status).await;
        }
    }
}
