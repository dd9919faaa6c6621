//! A client for all wires, generic over procedures. Requests and replies are JSON, encoded as each wire
//! demands, so that the replies of different wires can be compared.

mod connect;
mod connector;
mod envelope;
mod message;
mod reply;
mod unix;
mod wire;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client as HttpClient, rt::TokioExecutor};
use serde_json::Value;
use tokio_rustls::rustls::ClientConfig;

use self::connector::Connector;

pub(crate) use self::{
    connect::END_OF_STREAM,
    envelope::{CODES, split as split_frame, wrap as wrap_frame},
    message::{Procedure, procedures},
    reply::{Failure, Reply},
    unix::{UnixClient, send as send_over},
    wire::{Codec, Protocol, Wire},
};

/// One connection pool per HTTP version, to one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) server: SocketAddr,
    scheme: &'static str,
    http1: HttpClient<Connector, Full<Bytes>>,
    http2: HttpClient<Connector, Full<Bytes>>,
}

/// A complete HTTP response.
#[derive(Clone, Debug)]
pub(crate) struct HttpResponse {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

/// An RPC, independent of the wire.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) procedure: &'a str,
    pub(crate) message: Value,
    pub(crate) headers: HeaderMap,
}

impl<'a> Call<'a> {
    pub(crate) fn new(procedure: &'a str, message: Value) -> Self {
        let headers = HeaderMap::new();
        Self {
            procedure,
            message,
            headers,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap();
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }
}

impl HttpResponse {
    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        Self {
            head,
            body: body.to_bytes(),
            trailers,
        }
    }

    /// The body, which must be JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.head.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The status, and the values of a header field.
    pub(crate) fn status_and(&self, name: &str) -> (u16, Vec<&str>) {
        let values = self.head.headers.get_all(name).iter();
        let values = values.map(|value| value.to_str().unwrap()).collect();
        (self.head.status.as_u16(), values)
    }
}

impl Client {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self::by(server, "http", |_| Connector(None))
    }

    /// Over TLS, with `h2` and `http/1.1` by ALPN.
    pub(crate) fn over_tls(server: SocketAddr, config: ClientConfig) -> Self {
        Self::by(server, "https", |http2| {
            let mut config = config.clone();
            let protocol: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
            config.alpn_protocols = vec![protocol.to_vec()];
            Connector(Some(Arc::new(config)))
        })
    }

    fn by(server: SocketAddr, scheme: &'static str, connector: impl Fn(bool) -> Connector) -> Self {
        let build = |http2| {
            HttpClient::builder(TokioExecutor::new())
                .http2_only(http2)
                // HTTP/2's default window, so that a stream waits for a reader that does not read.
                .http2_initial_stream_window_size(65_535)
                .build(connector(http2))
        };
        Self {
            server,
            scheme,
            http1: build(false),
            http2: build(true),
        }
    }

    /// Makes a call and decodes the reply.
    pub(crate) async fn call(&self, wire: Wire, call: Call<'_>) -> Reply {
        let procedure = Procedure::find(call.procedure);
        let request = wire.request(&procedure, &call.message);
        let reply = self
            .send(request, call.headers, wire.protocol == Protocol::Grpc)
            .await;
        wire.answer(&procedure, reply)
    }

    /// Sends any request over HTTP/1.1, or HTTP/2 with prior knowledge.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
        headers: HeaderMap,
        http2: bool,
    ) -> HttpResponse {
        let response = self.open(request, headers, http2).await;
        HttpResponse::read(response).await
    }

    /// Sends a request. The body of the response is still to be read.
    pub(crate) async fn open(
        &self,
        request: Request<Bytes>,
        headers: HeaderMap,
        http2: bool,
    ) -> Response<Incoming> {
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().unwrap();
        parts.uri = format!("{}://{}{target}", self.scheme, self.server)
            .parse()
            .unwrap();
        parts.headers.extend(headers);
        let client = if http2 { &self.http2 } else { &self.http1 };
        let request = Request::from_parts(parts, Full::new(body));
        client.request(request).await.unwrap()
    }

    /// A form by POST over HTTP/1.1.
    pub(crate) async fn form(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> HttpResponse {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let form = ("content-type", "application/x-www-form-urlencoded");
        let mut request = Request::post(path);
        for (name, value) in [&[form], headers].concat() {
            request = request.header(name, value);
        }
        let request = request.body(Bytes::from(body)).unwrap();
        self.send(request, HeaderMap::new(), false).await
    }

    /// A request without a body over HTTP/1.1.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> HttpResponse {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::new()).unwrap();
        self.send(request, HeaderMap::new(), false).await
    }
}
