//! Connects the endpoints with their handlers, and sets the order of the layers around them.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
};

use axum::{Router, body::Body, response::Response};
use http::{HeaderMap, Request, Uri};
use tower::Service;

use crate::{app::App, proto};

use super::{
    LogRequests, ServerOptions,
    client_address::ClientAddress,
    cors::Cors,
    edge::{Edge, MethodTable, web::Web},
    endpoints,
    health_reflection::{Health, Reflection},
    limits::Limits,
    public_url::Issuer,
    rpc,
    web::{self, health::Readiness},
};

/// The table of procedures, from the embedded descriptors.
static METHODS: LazyLock<Arc<MethodTable>> = LazyLock::new(|| {
    Arc::new(
        MethodTable::new(proto::pool(), endpoints::PROCEDURES, endpoints::ALIASES)
            .expect("a test builds the table"),
    )
});

/// The service of the main listener.
pub(super) fn service(
    app: &App,
    options: &ServerOptions,
    (reflection, health): (Reflection, Health),
    limits: Arc<Limits>,
) -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ use<> {
    let ready = {
        let app = app.clone();
        move || {
            let app = app.clone();
            async move {
                match (app.is_ready().await, app.disk_is_full()) {
                    (false, _) => Readiness::NotReady,
                    (true, true) => Readiness::DiskFull,
                    (true, false) if app.required_sink_fails() => Readiness::AuditSinkFailing,
                    (true, false) => Readiness::Ready,
                }
            }
        }
    };
    let addresses = Arc::new(ClientAddress::new(options.trusted_proxies.clone()));
    let issuer = Issuer {
        public_url: options.public_url.clone(),
        addresses: Arc::clone(&addresses),
    };
    let pages = Router::new()
        .merge(web::static_files::routes(options.public_url.as_ref()))
        .merge(web::reference::routes())
        .merge(web::health::routes(
            ready,
            endpoints::READYZ.timeout(&limits),
        ))
        .merge(web::metadata::routes(issuer.clone()))
        .fallback(async |uri: Uri, headers: HeaderMap| {
            web::not_found::answer(endpoints::WEB, &uri, &headers)
        });
    let handlers = rpc::routes(app, Arc::clone(&addresses)).merge(health.routes());
    let mut edge = Edge::new(app.clone(), Arc::clone(&METHODS), handlers, limits);
    edge.log_requests = options.log_requests;
    edge.addresses = addresses;
    edge.web = Some(Web {
        cors: Cors::new(&options.cors_origins, &options.cors_headers),
        issuer,
        reflection,
        pages,
    });
    edge.into_service()
}

/// The service of the control socket and of pipes: only the procedures.
pub(super) fn control_service(
    app: &App,
    log_requests: LogRequests,
    limits: Arc<Limits>,
) -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ use<> {
    let handlers = rpc::routes(app, Arc::new(ClientAddress::new(Vec::new())));
    let mut edge = Edge::new(app.clone(), Arc::clone(&METHODS), handlers, limits);
    edge.log_requests = log_requests;
    edge.into_service()
}
