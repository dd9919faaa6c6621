//! What a request costs without Hallpass, and with nothing but its listener and edge.

use std::sync::Arc;

use axum::{Router, routing::post};
use hallpass::{
    app::{App, AppOptions},
    cli::bench::load::Result,
    domain::clock::SystemClock,
    metrics::LoadShed,
    proto::{
        FILE_DESCRIPTOR_SET,
        hallpass::v1::{
            GetCurrentUserRequest, GetCurrentUserResponse,
            authn_service_connect::AuthnServiceBuilder,
        },
    },
    server::{
        edge::{
            Edge, MethodTable,
            handlers::{RpcContext, unary},
        },
        endpoints::{self, Credentials, Endpoint},
        error::ApiError,
        limits::Limits,
        listener,
    },
    store::{Db, OpenAs, StoreOptions},
};
use prost_reflect::DescriptorPool;
use tokio::net::TcpListener;

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

/// A procedure that does nothing, behind the listener, the edge and the router of typed handlers. What is missing of
/// the whole stack: the lookup of a credential, and the store.
pub(crate) fn serve_noop() -> Result<()> {
    runtime()?.block_on(async {
        let folder = tempfile::tempdir()?;
        let options = StoreOptions::sqlite(folder.path().join("hallpass.db"), OpenAs::Serve);
        let clock = Arc::new(SystemClock);
        let app = App::start(Db::open(&options)?, clock, AppOptions::default()).await?;
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
        let public = endpoints::PROCEDURES.iter().map(|endpoint| Endpoint {
            credentials: Credentials::Public,
            ..*endpoint
        });
        let public: Vec<_> = public.collect();
        let methods = Arc::new(MethodTable::new(&pool, public.leak(), &[])?);
        let router = AuthnServiceBuilder::<()>::new()
            .get_current_user(unary(nothing))
            .build();
        let limits = Arc::new(Limits::default());
        let edge = Edge::new(app, methods, router, Arc::clone(&limits)).into_service();
        let forever = std::future::pending();
        let load_shed = LoadShed::default();
        listener::serve(listen().await?, edge, limits, load_shed, forever).await;
        Ok(())
    })
}

async fn nothing(
    (): (),
    _: RpcContext,
    _: GetCurrentUserRequest,
) -> std::result::Result<GetCurrentUserResponse, ApiError> {
    Ok(GetCurrentUserResponse::default())
}
