//! Streams without a credential, health's Watch and reflection: what they send, when they end, and that they delay
//! nobody.

use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use hallpass::proto::grpc::health::v1::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
};
use http::{HeaderMap, Request};
use prost::Message;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::error::Elapsed;

use super::{TIMEOUT, UNREACHED, WATCH, http1::REPLY_TIMEOUT, http2::Http2, process::Process};
use crate::{
    client::{split_frame, wrap_frame},
    test_app::TestApp,
};

const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const UNAVAILABLE: &str = "14";

struct Stream {
    _connection: Http2,
    request: SendStream<Bytes>,
    reply: RecvStream,
}

impl Stream {
    async fn open(server: std::net::SocketAddr, path: &str, message: &[u8], ends: bool) -> Self {
        let mut connection = Http2::connect(server).await;
        let request = Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Bytes::new())
            .unwrap();
        let (response, mut request) = connection.open(&request).await.unwrap();
        request.send_data(wrap_frame(0, message), ends).unwrap();
        let response = tokio::time::timeout(TIMEOUT, response).await;
        let reply = response.expect("a reply").unwrap().into_body();
        Self {
            _connection: connection,
            request,
            reply,
        }
    }

    async fn watch(server: std::net::SocketAddr, service: &str) -> Self {
        let service = service.to_owned();
        let message = HealthCheckRequest { service }.encode_to_vec();
        Self::open(server, WATCH, &message, true).await
    }

    /// The next message, `None` at the end of the stream, or an error if nothing comes in time.
    async fn next(&mut self, within: Duration) -> Result<Option<Bytes>, Elapsed> {
        let data = tokio::time::timeout(within, self.reply.data()).await?;
        Ok(data.map(Result::unwrap))
    }

    async fn status(&mut self) -> ServingStatus {
        let data = self
            .next(TIMEOUT)
            .await
            .expect("in time")
            .expect("a message");
        HealthCheckResponse::decode(split_frame(&data)[0].1)
            .unwrap()
            .status()
    }

    /// Waits for the end and returns the trailers.
    async fn end(&mut self) -> HeaderMap {
        assert_eq!(self.next(TIMEOUT).await, Ok(None), "it ends");
        self.reply.trailers().await.unwrap().expect("trailers")
    }
}

async fn serving(server: std::net::SocketAddr) -> Stream {
    let mut stream = Stream::watch(server, "hallpass.v1.TokenService").await;
    // Until the server's first check of itself it reports NOT_SERVING.
    if stream.status().await != ServingStatus::Serving {
        assert_eq!(stream.status().await, ServingStatus::Serving);
    }
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_learn_of_a_shutdown_and_no_stream_delays_it() {
    // As long as the shutdown would wait for requests in flight.
    let process = Process::start(&["--handler-timeout=10m"]);
    let mut watch = serving(process.address).await;
    let mut unknown = Stream::watch(process.address, "nothing").await;
    assert_eq!(unknown.status().await, ServingStatus::ServiceUnknown);
    let mut reflection = Stream::open(process.address, REFLECTION, b"\x3a\x01*", false).await;
    reflection
        .next(TIMEOUT)
        .await
        .expect("in time")
        .expect("a reply");
    process.signal(Signal::TERM);
    assert_eq!(watch.status().await, ServingStatus::NotServing);
    for stream in [&mut watch, &mut unknown, &mut reflection] {
        assert_eq!(stream.end().await["grpc-status"], UNAVAILABLE);
    }
    assert_eq!(process.ended(TIMEOUT).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_service_can_be_watched() {
    let test = TestApp::start().await;
    let mut unknown = Stream::watch(test.client.server, "nothing").await;
    assert_eq!(unknown.status().await, ServingStatus::ServiceUnknown);
    // The absence of a message can only be tested with a timeout.
    assert!(
        unknown.next(REPLY_TIMEOUT / 8).await.is_err(),
        "it stays open"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_ends_after_its_maximum_age_and_invites_a_retry() {
    let test = TestApp::start_with(|settings| {
        settings.server.limits.anonymous_stream_timeout = Duration::from_millis(200);
    })
    .await;
    let mut watch = Stream::watch(test.client.server, "nothing").await;
    watch.status().await;
    assert_eq!(watch.end().await["grpc-status"], UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oldest_stream_is_evicted_for_a_new_one() {
    for (most, is_bounded) in [(2, true), (usize::MAX, false)] {
        let test = TestApp::start_with(|settings| {
            let limits = &mut settings.server.limits;
            limits.max_anonymous_streams = most;
            limits.max_anonymous_streams_per_network = most;
            limits.eviction_min_age = Duration::ZERO;
            limits.anonymous_stream_timeout = UNREACHED;
        })
        .await;
        let mut streams = Vec::new();
        for _ in 0..3 {
            let mut stream = Stream::watch(test.client.server, "nothing").await;
            stream.status().await;
            streams.push(stream);
        }
        if is_bounded {
            assert_eq!(streams[0].end().await["grpc-status"], UNAVAILABLE);
        } else {
            assert!(
                streams[0].next(REPLY_TIMEOUT / 8).await.is_err(),
                "the control"
            );
        }
        for stream in &mut streams[1..] {
            assert!(stream.next(REPLY_TIMEOUT / 8).await.is_err());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_ends_when_its_client_is_done() {
    let test = TestApp::start().await;
    for messages in [0, 1, 3] {
        let server = test.client.server;
        let mut stream = Stream::open(server, REFLECTION, b"\x3a\x01*", false).await;
        for _ in 0..messages {
            stream
                .next(TIMEOUT)
                .await
                .expect("in time")
                .expect("a reply");
            let list = wrap_frame(0, b"\x3a\x01*");
            stream.request.send_data(list, false).unwrap();
        }
        stream
            .next(TIMEOUT)
            .await
            .expect("in time")
            .expect("a reply");
        stream.request.send_data(Bytes::new(), true).unwrap();
        assert_eq!(stream.end().await["grpc-status"], "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_listed_and_available_as_json() {
    let test = TestApp::start().await;
    let _serving = serving(test.client.server).await;
    let json = async |path: &str, message: Value| {
        let request = Request::post(format!("/grpc.health.v1.Health/{path}"))
            .header("content-type", "application/json")
            .body(Bytes::from(message.to_string()))
            .unwrap();
        let reply = test.client.send(request, HeaderMap::new(), false).await;
        serde_json::from_slice::<Value>(&reply.body).unwrap()
    };
    let all = json("List", json!({})).await;
    assert_eq!(all["statuses"][""]["status"], "SERVING");
    assert_eq!(
        all["statuses"]["hallpass.v1.UserService"]["status"],
        "SERVING"
    );
    assert_eq!(json("Check", json!({})).await["status"], "SERVING");
    let unknown = json("Check", json!({ "service": "nothing" })).await;
    assert_eq!(unknown["code"], "not_found");
}
