//! A server with a scripted `GetToken`: the token ID selects what the handler does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use connectrpc_axum::Code;
use prost_reflect::DescriptorPool;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    app::{App, AppOptions, passwords::HasherOptions},
    domain::{clock::SystemClock, reason::Reason},
    metrics::LoadShed,
    proto::hallpass::v1::{
        GetTokenRequest, GetTokenResponse, Token, token_service_connect::TokenServiceBuilder,
    },
    server::{
        anonymous::AnonymousStreams,
        cors::Cors,
        edge::{
            Edge, MethodTable,
            handlers::{RpcContext, unary},
            web::Web,
        },
        endpoints::{self, Credentials, Endpoint},
        error::ApiError,
        health_reflection::Reflection,
        limits::Limits,
        listener,
        public_url::Issuer,
    },
    store::{Db, OpenAs, StoreOptions},
};

/// A malformed token is refused before the body is read.
static ENDPOINTS: [Endpoint; 1] = [Endpoint {
    credentials: Credentials::OptionalToken,
    ..endpoints::GET_TOKEN
}];

pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    waiting: Arc<Notify>,
    release: Arc<Notify>,
    stop: std::sync::Mutex<Option<oneshot::Sender<()>>>,
    serving: JoinHandle<()>,
    _stop_streams: watch::Sender<bool>,
    _folder: TempDir,
}

impl TestServer {
    pub(super) async fn start() -> Self {
        let (waiting, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let limits = Arc::new(Limits {
            handler_timeout: Duration::from_millis(500),
            ..Limits::default()
        });
        let folder = tempfile::tempdir().unwrap();
        let app = app(&folder).await;
        let pool = DescriptorPool::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
        let aliases = [("TokenService", "hallpass.v1.TokenService")];
        let methods = Arc::new(MethodTable::new(&pool, &ENDPOINTS, &aliases).unwrap());
        let (stop_streams, stopping) = watch::channel(false);
        let streams = AnonymousStreams::new(&limits, LoadShed::default(), stopping);
        let mut edge = Edge::new(
            app,
            methods,
            router(&waiting, &release),
            Arc::clone(&limits),
        );
        edge.web = Some(Web {
            cors: Cors::new(&[], &[]),
            issuer: Issuer {
                public_url: None,
                addresses: Arc::clone(&edge.addresses),
            },
            reflection: Reflection::new(streams).unwrap(),
            pages: Router::new().fallback(async || "web"),
        });
        let edge = edge.into_service();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            listener::serve(socket, edge, limits, LoadShed::default(), shutdown).await;
        });
        let stop = std::sync::Mutex::new(Some(stop));
        Self {
            address,
            waiting,
            release,
            stop,
            serving,
            _stop_streams: stop_streams,
            _folder: folder,
        }
    }

    /// Waits until the handler is waiting.
    pub(super) async fn waiting(&self) {
        self.waiting.notified().await;
    }

    pub(super) fn release(&self) {
        self.release.notify_one();
    }

    pub(super) fn begin_shutdown(&self) {
        self.stop.lock().unwrap().take();
    }

    pub(super) async fn stopped(self) {
        self.serving.await.unwrap();
    }
}

async fn app(folder: &TempDir) -> App {
    let path = folder.path().join("hallpass.db");
    let db = Db::open(&StoreOptions::sqlite(path, OpenAs::Serve)).unwrap();
    let options = AppOptions {
        passwords: HasherOptions {
            memory_kib: 64,
            ..HasherOptions::default()
        },
        ..AppOptions::default()
    };
    App::start(db, Arc::new(SystemClock), options)
        .await
        .unwrap()
}

fn router(waiting: &Arc<Notify>, release: &Arc<Notify>) -> Router {
    let (waiting, release) = (Arc::clone(waiting), Arc::clone(release));
    let get_token = move |(), call: RpcContext, request: GetTokenRequest| {
        let (waiting, release) = (Arc::clone(&waiting), Arc::clone(&release));
        async move {
            let mut note = call.path().to_owned();
            match &*request.token_id {
                "panic" => panic!("as asked"),
                "sleep" => std::future::pending().await,
                "large" => note = "x".repeat(2000),
                "wait" => {
                    waiting.notify_one();
                    release.notified().await;
                }
                "throttle" => {
                    let error = ApiError::new(Code::ResourceExhausted, Reason::Overloaded, "later");
                    return Err(error.with_retry(Duration::from_secs(7)));
                }
                _ => {}
            }
            let token = Token {
                id: request.token_id,
                note,
                ..Token::default()
            };
            Ok(GetTokenResponse {
                token: Some(token),
                ..GetTokenResponse::default()
            })
        }
    };
    TokenServiceBuilder::<()>::new()
        .get_token(unary(get_token))
        .build()
}
