//! A server with a scripted `GetToken`: the token ID selects what the handler does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, response::Response};
use connectrpc_axum::{Code, ConnectError, ConnectRequest, ConnectResponse};
use futures_util::future::BoxFuture;
use http::Request;
use prost_reflect::DescriptorPool;
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
    task::JoinHandle,
};
use tower::{Service, ServiceExt, layer::layer_fn};

use crate::{
    metrics::LoadShed,
    proto::hallpass::v1::{
        GetTokenRequest, GetTokenResponse, Reason, Token,
        token_service_connect::TokenServiceBuilder,
    },
    server::{
        edge::{Call, EdgeParts, MethodTable, assemble, refusal},
        limits::Limits,
        listener,
    },
};

pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    waiting: Arc<Notify>,
    release: Arc<Notify>,
    stop: std::sync::Mutex<Option<oneshot::Sender<()>>>,
    serving: JoinHandle<()>,
}

impl TestServer {
    pub(super) async fn start() -> Self {
        let (waiting, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let limits = Arc::new(Limits {
            handler_timeout: Duration::from_millis(500),
            ..Limits::default()
        });
        let pool = DescriptorPool::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
        let aliases = [("TokenService", "hallpass.v1.TokenService")];
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(crate::proto::FILE_DESCRIPTOR_SET)
            .build_v1()
            .unwrap();
        let grpc = Router::new()
            .route_service("/grpc.reflection.v1.ServerReflection/{method}", reflection);
        let parts = EdgeParts {
            methods: Arc::new(MethodTable::new(&pool, &aliases).unwrap()),
            router: router(&waiting, &release),
            reflection: grpc,
            web: Router::new().fallback(async || "web"),
            external_auth: None,
            limits: Arc::clone(&limits),
            with_reasons: true,
        };
        let edge = assemble(parts, &layer_fn(RefuseOnDemand));
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

fn router(waiting: &Arc<Notify>, release: &Arc<Notify>) -> Router {
    let (waiting, release) = (Arc::clone(waiting), Arc::clone(release));
    let get_token = move |call: Call, ConnectRequest(request): ConnectRequest<GetTokenRequest>| {
        let (waiting, release) = (Arc::clone(&waiting), Arc::clone(&release));
        async move {
            let mut note = call.method().path().to_string();
            match &*request.token_id {
                "panic" => panic!("as asked"),
                "sleep" => std::future::pending().await,
                "large" => note = "x".repeat(2000),
                "wait" => {
                    waiting.notify_one();
                    release.notified().await;
                }
                "throttle" => {
                    let error = refusal(Code::ResourceExhausted, Reason::Overloaded, "later");
                    return Err(error.with_meta("retry-after", "7"));
                }
                _ => {}
            }
            let token = Token {
                id: request.token_id,
                note,
                ..Token::default()
            };
            Ok(ConnectResponse(GetTokenResponse {
                token: Some(token),
                ..GetTokenResponse::default()
            }))
        }
    };
    TokenServiceBuilder::<()>::new()
        .get_token(get_token)
        .build()
}

/// A stand-in for authentication that refuses before the body is read.
#[derive(Clone)]
struct RefuseOnDemand<S>(S);

impl<S> Service<Request<Body>> for RefuseOnDemand<S>
where
    S: Service<Request<Body>, Response = Response, Error = ConnectError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Response, ConnectError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), ConnectError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.headers().contains_key("x-refuse") {
            let error = refusal(
                Code::Unauthenticated,
                Reason::CredentialsMissing,
                "who are you?",
            );
            return Box::pin(async { Err(error) });
        }
        Box::pin(self.0.clone().oneshot(request))
    }
}
