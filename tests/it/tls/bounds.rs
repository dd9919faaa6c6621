//! The bounds of a connection hold over TLS as they do without it, and those of TLS itself hold as well.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hallpass::server::limits::Limits;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, HandshakeKind, SupportedProtocolVersion,
        pki_types::ServerName,
        version::{TLS12, TLS13},
    },
};

use super::{Authority, DEADLINE, REQUEST, ask, config_of, connect, start, start_with};
use crate::test_app::TestApp;

const SHORT: Duration = Duration::from_millis(500);

async fn limited(authority: &Authority, change: impl FnOnce(&mut Limits)) -> TestApp {
    start_with(authority, |settings| change(&mut settings.server.limits)).await
}

async fn open(authority: &Authority, app: &TestApp) -> TlsStream<TcpStream> {
    connect(app, authority.client(None)).await.unwrap()
}

/// What arrives until the server closes, and when it does.
async fn closed(stream: &mut TlsStream<TcpStream>) -> (String, Duration) {
    let begin = Instant::now();
    let mut all = Vec::new();
    let ended = timeout(DEADLINE, stream.read_to_end(&mut all)).await;
    // A reset, or an end without an alert, also counts as closed.
    drop(ended.expect("still open"));
    (String::from_utf8_lossy(&all).into_owned(), begin.elapsed())
}

#[tokio::test]
async fn time_limits_of_a_connection_hold() {
    let authority = Authority::new();
    let app = limited(&authority, |limits| limits.first_byte_timeout = SHORT).await;
    let mut silent = open(&authority, &app).await;
    assert!(closed(&mut silent).await.1 >= SHORT / 2);

    let app = limited(&authority, |limits| limits.header_timeout = SHORT).await;
    let mut half = open(&authority, &app).await;
    half.write_all(&REQUEST[..10]).await.unwrap();
    assert!(closed(&mut half).await.1 >= SHORT / 2);

    let app = limited(&authority, |limits| limits.idle_timeout = SHORT).await;
    let mut idle = open(&authority, &app).await;
    assert_eq!(ask(&mut idle).await.unwrap(), 200);
    assert!(closed(&mut idle).await.1 >= SHORT / 2);

    let app = limited(&authority, |limits| limits.anonymous_body_timeout = SHORT).await;
    let mut late = open(&authority, &app).await;
    late.write_all(&create("content-length: 100"))
        .await
        .unwrap();
    late.write_all(b"{").await.unwrap();
    let (reply, time) = closed(&mut late).await;
    assert!(reply.contains("deadline_exceeded"), "{reply}");
    assert!(time >= SHORT / 2);
}

fn create(field: &str) -> Vec<u8> {
    format!(
        "POST /hallpass.v1.TokenService/CreateToken HTTP/1.1\r\nhost: h\r\n\
         content-type: application/json\r\n{field}\r\n\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn sizes_of_head_and_body_are_bounded() {
    let authority = Authority::new();
    let app = start(&authority).await;
    let mut large = open(&authority, &app).await;
    large
        .write_all(&create("content-length: 70000"))
        .await
        .unwrap();
    let (reply, _) = closed(&mut large).await;
    assert!(reply.contains("resource_exhausted"), "{reply}");
    let mut long = open(&authority, &app).await;
    let field = format!("connection: close\r\nx: {}", "x".repeat(20_000));
    long.write_all(&create(&field)).await.unwrap();
    let (reply, _) = closed(&mut long).await;
    assert!(reply.starts_with("HTTP/1.1 4"), "{reply}");
}

/// A connection from another network of this machine.
async fn from(address: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    socket.connect(server).await.unwrap()
}

async fn is_served_from(address: [u8; 4], app: &TestApp, config: ClientConfig) -> bool {
    let stream = from(address, app.client.server).await;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let asked = timeout(Duration::from_secs(5), async {
        let mut stream = connector.connect(name, stream).await?;
        ask(&mut stream).await
    });
    matches!(asked.await, Ok(Ok(200)))
}

/// The same flood locks everybody out where no connection may be evicted.
#[tokio::test]
async fn unfinished_handshakes_lock_nobody_out() {
    let authority = Authority::new();
    let is_served_beside_a_flood = async |is_bounded: bool| {
        let app = limited(&authority, |limits| {
            limits.max_connections = 16;
            limits.handshake_timeout = Duration::from_mins(10);
            if !is_bounded {
                // The flood comes from one network, which may then hold all connections.
                limits.max_connections_per_network = Some(usize::MAX);
            }
        })
        .await;
        let mut flood = Vec::new();
        for _ in 0..100 {
            let mut stream = from([127, 0, 7, 1], app.client.server).await;
            // The beginning of a ClientHello. The server may have closed the connection already.
            drop(
                stream
                    .write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])
                    .await,
            );
            flood.push(stream);
        }
        is_served_from([127, 0, 8, 1], &app, authority.client(None)).await
    };
    assert!(is_served_beside_a_flood(true).await);
    assert!(
        is_served_beside_a_flood(false).await,
        "the oldest is evicted"
    );
}

#[tokio::test]
async fn key_updates_without_end_end_the_connection() {
    let authority = Authority::new();
    let app = start(&authority).await;
    let updated = async |count: usize| {
        let mut stream = open(&authority, &app).await;
        assert_eq!(ask(&mut stream).await?, 200);
        for _ in 0..count {
            stream
                .get_mut()
                .1
                .refresh_traffic_keys()
                .map_err(io::Error::other)?;
            stream.flush().await?;
        }
        ask(&mut stream).await
    };
    assert_eq!(updated(5).await.unwrap(), 200, "a client may");
    assert!(updated(1_000).await.is_err());
    assert_eq!(updated(1).await.unwrap(), 200, "the server goes on");
}

#[tokio::test]
async fn alpn_is_a_hint_and_odd_names_are_served() {
    let authority = Authority::new();
    let app = start(&authority).await;
    let mut config = authority.client(None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = connect(&app, config).await.unwrap();
    assert_eq!(
        ask(&mut stream).await.unwrap(),
        200,
        "HTTP/1.1 in spite of h2"
    );
    let mut config = authority.client(None);
    config.enable_sni = false;
    let mut stream = connect(&app, config).await.unwrap();
    assert_eq!(ask(&mut stream).await.unwrap(), 200, "without SNI");
}

#[tokio::test]
async fn session_is_resumed_until_the_certificate_changes_and_never_where_clients_have_one() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let app = start(&authority).await;
        let config = config_of(&authority, version);
        assert!(!resumes(&app, &config).await, "the first");
        assert!(resumes(&app, &config).await, "{version:?}");
        let next = authority.issue("next");
        authority.install(&next);
        let renewed = async {
            while resumes(&app, &config).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(DEADLINE, renewed)
            .await
            .expect("the old session ends");
    }
    let app = start_with(&authority, |settings| {
        settings.server.tls.as_mut().unwrap().client_ca = Some(authority.root());
        settings.tls_client = Some(authority.client(Some(&authority.issue("tests"))));
    })
    .await;
    let config = authority.client(Some(&authority.issue("client")));
    for _ in 0..3 {
        assert!(!resumes(&app, &config).await);
    }
}

/// Whether the server resumes the last session of this client.
async fn resumes(app: &TestApp, config: &ClientConfig) -> bool {
    let mut stream = connect(app, config.clone()).await.unwrap();
    // A ticket of TLS 1.3 comes with the first response.
    assert_eq!(ask(&mut stream).await.unwrap(), 200);
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    drop(stream.shutdown().await);
    kind == HandshakeKind::Resumed
}

#[tokio::test]
async fn handshake_of_the_old_certificate_ends_while_the_new_one_is_read() {
    let authority = Authority::new();
    let app = start(&authority).await;
    // Begun, but its hello is only sent once the certificate has changed.
    let early = TcpStream::connect(app.client.server).await.unwrap();
    let next = authority.issue("next");
    authority.install(&next);
    let version: &'static SupportedProtocolVersion = &TLS13;
    let config = || config_of(&authority, version);
    let until_next = async {
        while !super::is_of(&connect(&app, config()).await.unwrap(), &next) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, until_next)
        .await
        .expect("it is read again");
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(Arc::new(config()));
    let mut early = connector.connect(name, early).await.unwrap();
    assert_eq!(ask(&mut early).await.unwrap(), 200);
}
