//! The server over TLS.

mod authority;
mod bounds;
mod client_certificates;
mod command;
mod memory;

use std::{sync::Arc, time::Duration};

use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
        version::{TLS12, TLS13},
    },
};

pub(crate) use self::authority::Authority;
use self::authority::{Issued, replace};
use crate::{
    client::Client,
    test_app::{Settings, TestApp},
};

const DEADLINE: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

async fn start(authority: &Authority) -> TestApp {
    start_with(authority, |_| {}).await
}

/// With a client that trusts the authority.
async fn start_with(authority: &Authority, change: impl FnOnce(&mut Settings)) -> TestApp {
    TestApp::start_with(|settings| {
        settings.server.tls = Some(authority.server());
        settings.tls_client = Some(authority.client(None));
        change(settings);
    })
    .await
}

async fn connect(app: &TestApp, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TcpStream::connect(app.client.server).await?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// The status of a response to a request on that connection, which stays open.
async fn ask(stream: &mut TlsStream<TcpStream>) -> std::io::Result<u16> {
    stream.write_all(REQUEST).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"ok\n") && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = timeout(DEADLINE, stream.read_buf(&mut head))
            .await
            .unwrap()?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&head[9..12]).parse().unwrap())
}

async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset also counts as closed.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut all))
        .await
        .expect("still open");
    all
}

fn is_of(stream: &TlsStream<TcpStream>, issued: &Issued) -> bool {
    let shown = &stream.get_ref().1.peer_certificates().unwrap()[0];
    *shown == CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

fn config_of(authority: &Authority, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority.root()).unwrap())
        .unwrap();
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test]
async fn both_versions_are_spoken_and_alpn_chooses_the_protocol() {
    let authority = Authority::new();
    let app = start(&authority).await;
    for version in [&TLS12, &TLS13] {
        for (offered, chosen) in [
            (vec![], None),
            (vec!["http/1.1"], Some("http/1.1")),
            (vec!["h2"], Some("h2")),
            (vec!["http/1.1", "h2"], Some("h2")),
        ] {
            let mut config = config_of(&authority, version);
            config.alpn_protocols = offered
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect();
            let stream = connect(&app, config).await.unwrap();
            let alpn = stream.get_ref().1.alpn_protocol();
            assert_eq!(alpn, chosen.map(str::as_bytes), "{offered:?}");
        }
        let mut config = config_of(&authority, version);
        config.alpn_protocols = vec![b"spdy/1".to_vec()];
        let refused = async {
            let mut stream = connect(&app, config).await?;
            ask(&mut stream).await
        };
        assert!(refused.await.is_err(), "no protocol in common");
        let mut stream = connect(&app, config_of(&authority, version)).await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), 200);
    }
}

#[tokio::test]
async fn urls_in_replies_are_https() {
    let authority = Authority::new();
    let app = start(&authority).await;
    let path = "/.well-known/oauth-authorization-server";
    let metadata = app.client.ask(Method::GET, path, &[]).await.json();
    let issuer = format!("https://{}", app.client.server);
    assert_eq!(metadata["issuer"], issuer);
}

#[tokio::test]
async fn replaced_certificate_is_used_and_open_connections_stay() {
    let authority = Authority::new();
    let app = start(&authority).await;
    let client = || authority.client(None);
    let mut old = connect(&app, client()).await.unwrap();
    assert_eq!(ask(&mut old).await.unwrap(), 200);
    let next = authority.issue("next");
    authority.install(&next);
    let until_next = async {
        while !is_of(&connect(&app, client()).await.unwrap(), &next) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, until_next)
        .await
        .expect("it is read again");
    assert_eq!(ask(&mut old).await.unwrap(), 200);
}

#[tokio::test]
async fn files_that_do_not_fit_change_nothing_until_they_do() {
    let authority = Authority::new();
    let reload = Arc::new(Notify::new());
    let app = start_with(&authority, |settings| {
        settings.server.tls.as_mut().unwrap().reload = Arc::clone(&reload);
    })
    .await;
    let (first, next) = (authority.issue("first"), authority.issue("next"));
    let client = || authority.client(None);
    let shows = async |issued: &Issued| {
        reload.notify_one();
        is_of(&connect(&app, client()).await.unwrap(), issued)
    };
    let until = async |issued: &Issued| {
        let shown = async {
            while !shows(issued).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(DEADLINE, shown).await.expect("it is read again");
    };
    authority.install(&first);
    until(&first).await;
    // The certificate without its key, an empty one, and none: twenty reloads of each.
    for bad in [Some(next.certificate.as_str()), Some(""), None] {
        match bad {
            Some(text) => replace(&authority.path("cert.pem"), text),
            None => std::fs::remove_file(authority.path("cert.pem")).unwrap(),
        }
        for _ in 0..20 {
            assert!(shows(&first).await, "{bad:?}");
        }
    }
    authority.install(&next);
    until(&next).await;
}

#[tokio::test]
async fn slow_handshake_is_closed_however_steadily_it_arrives() {
    let authority = Authority::new();
    let short = Duration::from_millis(500);
    let app = start_with(&authority, |settings| {
        settings.server.limits.handshake_timeout = short;
    })
    .await;
    // A record of a handshake that never ends.
    let stream = TcpStream::connect(app.client.server).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drip = tokio::spawn(async move {
        let mut bytes = [22, 3, 1, 0x3f, 0xff]
            .into_iter()
            .chain(std::iter::repeat(1));
        while writer.write_all(&[bytes.next().unwrap()]).await.is_ok() {
            tokio::time::sleep(short / 20).await;
        }
    });
    let mut all = Vec::new();
    let closed = timeout(DEADLINE, reader.read_to_end(&mut all)).await;
    assert!(closed.is_ok(), "still open");
    timeout(DEADLINE, drip).await.unwrap().unwrap();
    // One that is complete stays open for longer than that.
    let mut open = connect(&app, authority.client(None)).await.unwrap();
    tokio::time::sleep(short * 2).await;
    assert_eq!(ask(&mut open).await.unwrap(), 200);
}

#[tokio::test]
async fn client_without_a_certificate_of_the_authority_is_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let app = start_with(&authority, |settings| {
        settings.server.tls.as_mut().unwrap().client_ca = Some(authority.root());
        settings.tls_client = Some(authority.client(Some(&authority.issue("tests"))));
    })
    .await;
    let asked = async |certificate: Option<&Issued>| {
        let mut stream = connect(&app, authority.client(certificate)).await?;
        ask(&mut stream).await
    };
    assert_eq!(asked(Some(&authority.issue("good"))).await.unwrap(), 200);
    assert!(asked(None).await.is_err(), "none");
    let foreign = stranger.issue("good");
    assert!(asked(Some(&foreign)).await.is_err(), "another authority's");
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    let authority = Authority::new();
    let app = start(&authority).await;
    let plain = Client::new(app.client.server);
    let reply = plain.ask(Method::GET, "/healthz", &[]).await;
    assert_eq!(reply.head.status, 400);
    assert!(reply.body.starts_with(b"this server speaks HTTPS"));
}

#[tokio::test]
async fn nonsense_ends_the_connection_and_nothing_else() {
    let authority = Authority::new();
    let app = start(&authority).await;
    let hello = |length: u16, rest: &[u8]| [&[22, 3, 1][..], &length.to_be_bytes(), rest].concat();
    for (what, bytes) in [
        (
            "a record that is too long",
            hello(u16::MAX, &vec![1; 70_000]),
        ),
        ("a hello of 16 MiB", hello(16_384, &[1, 0xff, 0xff, 0xff])),
        ("an empty record", hello(0, &[])),
        ("SSL 2", vec![0x80, 0x2e, 1, 0, 2]),
        ("an alert first", vec![21, 3, 3, 0, 2, 2, 40]),
        ("half a hello", hello(200, &[1, 0, 0, 196, 3, 3])),
    ] {
        let mut stream = TcpStream::connect(app.client.server).await.unwrap();
        // It may be reset before all of it is written.
        drop(stream.write_all(&bytes).await);
        drop(stream.shutdown().await);
        read_to_close(&mut stream).await;
        let alive = app.client.ask(Method::GET, "/healthz", &[]).await;
        assert_eq!(alive.head.status, 200, "{what}");
    }
    // A name that no server has is the client's business.
    let mut config = authority.client(None);
    config.enable_sni = true;
    let name = ServerName::try_from("x".repeat(60) + ".invalid").unwrap();
    let stream = TcpStream::connect(app.client.server).await.unwrap();
    let connected = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    assert!(connected.is_err(), "the client refuses the certificate");
}
