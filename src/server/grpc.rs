//! gRPC's own services, by tonic: health checking and server reflection.

use std::{io, time::Duration};

use axum::Router;
use tokio::{task::JoinHandle, time};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{app::App, proto};

use super::endpoints::{self, Endpoint};

const LOOK_EVERY: Duration = Duration::from_secs(5);

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
            .route_service(&methods_of(&endpoints::HEALTH_CHECK), health)
            .route_service(&methods_of(&endpoints::REFLECTION), v1)
            .route_service(&methods_of(&endpoints::REFLECTION_ALPHA), v1alpha);
        let watch = tokio::spawn(watch(app.clone(), reporter));
        Ok(Self { routes, watch })
    }

    pub(super) fn routes(&self) -> Router {
        self.routes.clone()
    }
}

/// The route of an endpoint's whole service.
fn methods_of(endpoint: &Endpoint) -> String {
    format!("/{}/{{method}}", endpoint.service().unwrap_or_default())
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
    // What a client may ask after; the empty name is the whole server.
    let services = [&[""], &*endpoints::services()].concat();
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
        for service in &services {
            reporter.set_service_status(service, status).await;
        }
    }
}
