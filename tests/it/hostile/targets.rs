//! Request targets that name a procedure only after normalisation, which the server does not do: what a
//! proxy allowed by its path is what is served.

use bytes::Bytes;
use http::Request;

use super::{http1::Http1, message_format::MessageFormat, verdict::verdict};
use crate::test_app::TestApp;

#[tokio::test]
async fn path_is_never_normalised() {
    let test = TestApp::start().await;
    let mut socket = Http1::connect(test.client.server).await;
    for (target, expected) in [
        ("/hallpass.v1.AuthnService/GetCurrentUser", "ok"),
        ("http://h/hallpass.v1.AuthnService/GetCurrentUser", "ok"),
        ("/hallpass.v1.AuthnService/GetCurrentUser?x=/../..", "ok"),
        ("/x/../hallpass.v1.AuthnService/GetCurrentUser", "http 404"),
        ("/./hallpass.v1.AuthnService/GetCurrentUser", "http 404"),
        ("//hallpass.v1.AuthnService/GetCurrentUser", "http 404"),
        ("/hallpass.v1.AuthnService//GetCurrentUser", "http 404"),
        ("/hallpass.v1.AuthnService/GetCurrentUser/", "http 404"),
        ("/hallpass.v1.AuthnService/GetCurrentUser/.", "http 404"),
        (
            "/hallpass.v1.AuthnService/%47etCurrentUser",
            "unimplemented",
        ),
        (
            "/hallpass.v1%2eAuthnService/GetCurrentUser",
            "unimplemented",
        ),
        ("/hallpass.v1.AuthnService%2FGetCurrentUser", "http 404"),
        (
            "/hallpass.v1.AuthnService/GetCurrentUser%00",
            "unimplemented",
        ),
        (
            "/hallpass.v1.AuthnService/GetCurrentUser;x",
            "unimplemented",
        ),
        ("/HALLPASS.V1.AUTHNSERVICE/GETCURRENTUSER", "unimplemented"),
        (
            "/healthz/../hallpass.v1.AuthnService/GetCurrentUser",
            "http 404",
        ),
    ] {
        let mut request = MessageFormat::JSON.request(target, &test.admin.token, b"{}");
        request.headers_mut().insert("host", "h".parse().unwrap());
        let reply = socket.ask(&request).await.expect("the connection lives");
        assert_eq!(verdict(&reply), expected, "{target}");
    }
    for (target, status) in [
        ("/healthz", 200),
        ("http://elsewhere/healthz", 200),
        ("/static/../../etc/passwd", 404),
        ("/%2e%2e/Cargo.toml", 404),
        ("/app.css/../app.js", 404),
        ("/..%2fapp.js", 404),
    ] {
        let request = Request::get(target).body(Bytes::new()).unwrap();
        let reply = socket.ask(&request).await.expect("the connection lives");
        assert_eq!(reply.head.status, status, "{target}");
    }
}
