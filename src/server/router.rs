//! The whole route table, and the order of the layers around it.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
};

use axum::{Router, body::Body, response::Response};
use http::Request;
use prost_reflect::DescriptorPool;
use tower::{Service, ServiceBuilder, util::option_layer};

use crate::{app::App, proto};

use super::{
    ServerOptions,
    auth::AuthLayer,
    cors::{CorsOrigins, Split},
    edge::{self, MethodTable, Parts},
    limits::Limits,
    origin::{ClientAddress, WithOrigin},
    rpc, web,
};

/// Names that services are also called by, and ours for them.
const ALIASES: &[(&str, &str)] = &[
    // The contract names no package.
    ("TokenService", "hallpass.v1.TokenService"),
    (
        "buf.alpha.registry.v1alpha1.TokenService",
        "hallpass.v1.TokenService",
    ),
    (
        "buf.alpha.registry.v1alpha1.AuthnService",
        "hallpass.v1.AuthnService",
    ),
    (
        "buf.alpha.registry.v1alpha1.UserService",
        "hallpass.v1.UserService",
    ),
    (
        "bufman.alpha.registry.v1alpha1.TokenService",
        "hallpass.v1.TokenService",
    ),
    (
        "bufman.alpha.registry.v1alpha1.AuthnService",
        "hallpass.v1.AuthnService",
    ),
    (
        "bufman.alpha.registry.v1alpha1.UserService",
        "hallpass.v1.UserService",
    ),
];

/// The procedures, from the descriptors that the binary carries.
static METHODS: LazyLock<Arc<MethodTable>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET)
        .expect("the descriptors were compiled into this binary");
    Arc::new(MethodTable::new(&pool, ALIASES).expect("a test builds the table"))
});

/// All that is served, from the outermost layer in.
pub(super) fn service(
    app: &App,
    options: &ServerOptions,
    grpc: Router,
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
            async move { app.is_ready().await }
        }
    };
    let addresses = Arc::new(ClientAddress::new(options.trusted_proxies.clone()));
    let web = Router::new()
        .merge(web::static_files::routes())
        .merge(web::health::routes(ready, limits.ready_timeout))
        .merge(web::introspection::routes(app.clone()))
        .merge(web::revocation::routes(app.clone()))
        .merge(web::metadata::routes(Arc::clone(&addresses)));
    let parts = Parts {
        methods: Arc::clone(&METHODS),
        router: rpc::routes(app, Arc::clone(&addresses)),
        grpc,
        web,
        on_behalf: Some(web::forward_auth::on_behalf(app.clone())),
        limits,
        with_reasons: true,
    };
    let edge = edge::assemble(parts, &AuthLayer(app.clone()));

    let origins = CorsOrigins::new(&options.cors_origins);
    let pages = ServiceBuilder::new()
        .layer(option_layer(origins.layer()))
        .map_request(move |mut request: Request<Body>| {
            origins.mark(&mut request);
            request
        });
    WithOrigin {
        app: app.clone(),
        addresses,
        inner: Split::new(web::is_for_browsers, pages.service(edge.clone()), edge),
    }
}

#[cfg(test)]
mod tests {
    use crate::app::authz::{HOLDER, RULES};

    use super::*;

    #[test]
    fn every_procedure_and_endpoint_has_a_line_in_the_authorisation_table_and_every_line_one_of_them()
     {
        let mut served: Vec<&str> = METHODS.iter().map(|method| &**method.path()).collect();
        served.extend([
            "/oauth2/introspect",
            "/oauth2/revoke",
            web::forward_auth::PATH,
        ]);
        let ruled = RULES.iter().flat_map(|rule| rule.procedures);
        let mut ruled: Vec<&str> = ruled.chain(HOLDER).copied().collect();
        served.sort_unstable();
        ruled.sort_unstable();
        ruled.dedup();
        assert_eq!(served, ruled);
    }
}
