//! Connects the endpoints with their handlers, and sets the order of the layers around them.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
};

use axum::{Router, body::Body, response::Response};
use http::{HeaderMap, Request, Uri};
use tower::{Service, ServiceBuilder, util::option_layer};

use crate::{app::App, proto};

use super::{
    LogRequests, ServerOptions,
    authenticate::AuthLayer,
    client_address::ClientAddress,
    context::WithRequestContext,
    cors::{CorsOrigins, CorsRouter},
    edge::{self, EdgeParts, MethodTable},
    endpoints,
    health_reflection::Health,
    limits::Limits,
    public_url::Issuer,
    rpc,
    web::{self, health::Readiness},
};

/// The table of procedures, from the embedded descriptors.
static METHODS: LazyLock<Arc<MethodTable>> = LazyLock::new(|| {
    Arc::new(MethodTable::new(proto::pool(), endpoints::ALIASES).expect("a test builds the table"))
});

/// The service of the main listener, from the outermost layer inwards.
pub(super) fn service(
    app: &App,
    options: &ServerOptions,
    (reflection, health): (Router, Health),
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
    let web = Router::new()
        .merge(web::static_files::routes(options.public_url.as_ref()))
        .merge(web::reference::routes())
        .merge(web::health::routes(
            ready,
            endpoints::READYZ.timeout(&limits),
        ))
        .merge(web::introspection::routes(app.clone(), issuer.clone()))
        .merge(web::revocation::routes(app.clone()))
        .merge(web::metadata::routes(issuer))
        .fallback(async |uri: Uri, headers: HeaderMap| {
            web::not_found::answer(endpoints::WEB, &uri, &headers)
        });
    let parts = EdgeParts {
        methods: Arc::clone(&METHODS),
        router: rpc::routes(app, Arc::clone(&addresses)).merge(health.routes()),
        reflection,
        web,
        external_auth: Some(web::forward_auth::external_auth(app.clone())),
        limits,
        with_reasons: true,
    };
    let edge = edge::assemble(parts, &AuthLayer(app.clone()));

    let origins = CorsOrigins::new(&options.cors_origins, &options.cors_headers);
    let pages = ServiceBuilder::new()
        .layer(option_layer(origins.layer()))
        .map_request(move |mut request: Request<Body>| {
            origins.mark(&mut request);
            request
        });
    WithRequestContext {
        app: app.clone(),
        addresses,
        log_requests: options.log_requests,
        inner: CorsRouter::new(
            endpoints::is_for_browsers,
            pages.service(edge.clone()),
            edge,
        ),
    }
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
    let addresses = Arc::new(ClientAddress::new(Vec::new()));
    let parts = EdgeParts {
        methods: Arc::clone(&METHODS),
        router: rpc::routes(app, Arc::clone(&addresses)),
        reflection: Router::new(),
        web: Router::new().fallback(async |uri: Uri, headers: HeaderMap| {
            web::not_found::answer(&[], &uri, &headers)
        }),
        external_auth: None,
        limits,
        with_reasons: true,
    };
    WithRequestContext {
        app: app.clone(),
        addresses,
        log_requests,
        inner: edge::assemble(parts, &AuthLayer(app.clone())),
    }
}
