//! What a request costs without Hallpass, and with nothing but its listener and edge.

use std::sync::Arc;

use axum::{Router, routing::post};
use connectrpc_axum::{ConnectError, ConnectRequest, ConnectResponse};
use hallpass::{
    cli::bench::load::Result,
    metrics::LoadShed,
    proto::{
        FILE_DESCRIPTOR_SET,
        hallpass::v1::{
            GetCurrentUserRequest, GetCurrentUserResponse,
            authn_service_connect::AuthnServiceBuilder,
        },
    },
    server::{
        edge::{self, EdgeParts, MethodTable},
        limits::Limits,
        listener,
    },
};
use prost_reflect::DescriptorPool;
use tokio::net::TcpListener;
use tower::layer::util::Identity;

/// As `hallpass serve` has it.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .enable_all()
        .build()?)
}

/// Takes a free port and says so, as `hallpass serve` does.
pub(crate) async fn listen() -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(listener)
}

/// A handler that responds with a small body, under `axum::serve`.
pub(crate) fn serve_bare() -> Result<()> {
    runtime()?.block_on(async {
        let routes = Router::new().route("/bare", post(|_: bytes::Bytes| async { "hello" }));
        Ok(axum::serve(listen().await?, routes).await?)
    })
}

/// A procedure that does nothing, behind the listener, the edge and the router of typed handlers. What is
/// missing of the whole stack: the origin (request ID, log line), authentication, the store.
pub(crate) fn serve_noop() -> Result<()> {
    runtime()?.block_on(async {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
        let limits = Arc::new(Limits::default());
        let parts = EdgeParts {
            methods: Arc::new(MethodTable::new(&pool, &[])?),
            router: AuthnServiceBuilder::<()>::new()
                .get_current_user(nothing)
                .build(),
            reflection: Router::new(),
            web: Router::new(),
            external_auth: None,
            limits: Arc::clone(&limits),
            with_reasons: true,
        };
        let edge = edge::assemble(parts, &Identity::new());
        let forever = std::future::pending();
        let load_shed = LoadShed::default();
        listener::serve(listen().await?, edge, limits, load_shed, forever).await;
        Ok(())
    })
}

async fn nothing(
    ConnectRequest(_): ConnectRequest<GetCurrentUserRequest>,
) -> std::result::Result<ConnectResponse<GetCurrentUserResponse>, ConnectError> {
    Ok(ConnectResponse(GetCurrentUserResponse::default()))
}
