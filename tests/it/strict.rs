//! Unknown fields and enum numbers in a request: refused where the procedure changes something, since they may be
//! restrictions, and alike over every wire.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use serde_json::{Value, json};

use crate::{
    client::{Call, Codec, Failure, Procedure, Protocol, Reply, Wire, procedures},
    test_app::TestApp,
};

/// A string of one letter in a field that no message defines.
const UNKNOWN: &[u8] = &[0x9a, 0x7d, 0x01, b'x'];
const UNKNOWN_NUMBER: u32 = 2003;

fn post_wires(codec: Codec) -> impl Iterator<Item = Wire> {
    let wires = Wire::ALL.into_iter();
    wires.filter(move |wire| !wire.is_get() && wire.codec == codec)
}

/// Sends bytes as the message.
async fn send(app: &TestApp, wire: Wire, name: &str, message: &[u8]) -> Reply {
    let procedure = Procedure::find(name);
    let request = wire.request_of_bytes(&procedure, message);
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", app.admin.token);
    headers.insert("authorization", HeaderValue::try_from(bearer).unwrap());
    let http2 = wire.protocol == Protocol::Grpc;
    wire.answer(&procedure, app.client.send(request, headers, http2).await)
}

#[track_caller]
fn names(failure: &Failure, field: &str) {
    assert_eq!(failure.code, "invalid_argument");
    assert_eq!(failure.reason(), "MALFORMED_REQUEST");
    assert!(
        failure.message.starts_with(&format!("{field}: ")),
        "{failure:?}"
    );
    let violations = &failure.detail("BadRequest").unwrap()["violations"];
    assert_eq!(violations[0]["field"], field);
}

async fn live_tokens(app: &TestApp) -> Value {
    let call = app.call(&app.admin.token, "AdminService/CountAllTokens", json!({}));
    call.await.ok()
}

#[tokio::test]
async fn misspelt_json_restriction_is_refused_over_every_wire_without_effect() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.child(&alice.token, json!({ "scopes": ["a"] })).await;
    let user = &alice.id;
    let before = live_tokens(&app).await;
    let (create, revoke) = ("TokenService/CreateToken", "AdminService/RevokeTokens");
    for (procedure, message, field, meant) in [
        (
            revoke,
            format!(r#"{{"filter":{{"userId":"{user}"}},"dryrun":true}}"#),
            "dryrun",
            "dryRun",
        ),
        (
            revoke,
            format!(r#"{{"filter":{{"userId":"{user}","state":"DISABLED"}}}}"#),
            "filter.state",
            "TOKEN_STATE_DISABLED",
        ),
        (
            revoke,
            format!(r#"{{"filter":{{"userId":"{user}","user_id":"x"}}}}"#),
            "filter.userId",
            "",
        ),
        (
            create,
            r#"{"scope":["deploy"]}"#.to_owned(),
            "scope",
            "scopes",
        ),
        (
            create,
            r#"{"scopes":["a"],"scopes":[]}"#.to_owned(),
            "scopes",
            "",
        ),
        (
            create,
            r#"{"expireTime":"2030-01-01T00:00:00Z","expire_time":null}"#.to_owned(),
            "expireTime",
            "",
        ),
        (
            "TokenService/VerifyToken",
            format!(r#"{{"token":"{}","requiredScope":["b"]}}"#, token.text),
            "requiredScope",
            "requiredScopes",
        ),
        (
            "AdminService/RevokeLeakedTokens",
            r#"{"tokens":[{"tokenId":"x","sha256":""}],"dryRun":true}"#.to_owned(),
            "tokens[0].sha256",
            "plaintextSha256",
        ),
        (
            "envoy.service.auth.v3.Authorization/Check",
            r#"{"attributes":{"contextExtension":{"scope":"a"}}}"#.to_owned(),
            "attributes.contextExtension",
            "contextExtensions",
        ),
    ] {
        let mut told = Vec::new();
        for wire in post_wires(Codec::Json) {
            let answer = send(&app, wire, procedure, message.as_bytes()).await;
            let failure = answer.result.expect_err(procedure);
            names(&failure, field);
            let hint = format!(": did you mean \"{meant}\"?");
            assert_eq!(
                failure.message.ends_with(&hint),
                !meant.is_empty(),
                "{failure:?}"
            );
            told.push(failure);
        }
        assert!(told.iter().all(|failure| *failure == told[0]), "{told:?}");
    }
    assert_eq!(live_tokens(&app).await, before);
}

#[tokio::test]
async fn unknown_protobuf_field_is_refused_only_in_hallpass_procedures_with_effects() {
    let app = TestApp::start().await;
    for procedure in procedures() {
        let path = procedure.path();
        let is_refused = path.starts_with("/hallpass.v1.") && !procedure.has_no_side_effects();
        let mut told = Vec::new();
        for wire in post_wires(Codec::Proto) {
            let answer = send(&app, wire, &path[1..], UNKNOWN).await;
            let without = send(&app, wire, &path[1..], b"").await;
            if is_refused {
                let failure = answer.result.expect_err(&path);
                names(&failure, &UNKNOWN_NUMBER.to_string());
                told.push(failure);
            } else {
                assert_eq!(answer.result.is_ok(), without.result.is_ok(), "{path}");
            }
        }
        assert!(told.iter().all(|failure| *failure == told[0]), "{told:?}");
    }
    let filter = [&[0x0a, 4], UNKNOWN].concat();
    for wire in post_wires(Codec::Proto) {
        let answer = send(&app, wire, "AdminService/RevokeTokens", &filter).await;
        names(&answer.result.unwrap_err(), "filter.2003");
    }
}

#[tokio::test]
async fn alias_ignores_unknown_protobuf_fields_and_is_strict_in_json() {
    let app = TestApp::start().await;
    let bearer = format!("Bearer {}", app.admin.token);
    for service in [
        "hallpass.v1.TokenService",
        "TokenService",
        "buf.alpha.registry.v1alpha1.TokenService",
        "bufman.alpha.registry.v1alpha1.TokenService",
    ] {
        let post = async |content_type: &str, body: &'static [u8]| {
            let request = Request::post(format!("/{service}/CreateToken"))
                .header("authorization", &bearer)
                .header("content-type", content_type)
                .body(Bytes::from_static(body));
            let reply = app.client.send(request.unwrap(), HeaderMap::new(), false);
            reply.await.head.status.as_u16()
        };
        let is_alias = !service.starts_with("hallpass");
        let expected = if is_alias { 200 } else { 400 };
        assert_eq!(
            post("application/proto", UNKNOWN).await,
            expected,
            "{service}"
        );
        assert_eq!(post("application/json", br#"{"scope":["a"]}"#).await, 400);
        assert_eq!(post("application/json", b"{}").await, 200);
    }
}

#[tokio::test]
async fn procedure_without_side_effects_ignores_unknown_fields_over_every_wire() {
    let app = TestApp::start().await;
    for name in [
        "UserService/ListUsers",
        "AdminService/CountAllTokens",
        "TokenService/ListTokens",
    ] {
        let mut answers = Vec::new();
        for wire in Wire::ALL {
            let message: &[u8] = match wire.codec {
                Codec::Json => br#"{"nonsense":{"a":[1]},"pagesize":1}"#,
                Codec::Proto => UNKNOWN,
            };
            answers.push(send(&app, wire, name, message).await.ok());
        }
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{answers:?}"
        );
    }
}

/// Messages that have only an unknown enum number, at any depth.
fn with_unknown_enums(message: &MessageDescriptor) -> Vec<Value> {
    let in_field = |field: prost_reflect::FieldDescriptor| {
        let values = match field.kind() {
            Kind::Enum(_) => vec![json!(99)],
            Kind::Message(inner) if inner.package_name() == "hallpass.v1" => {
                with_unknown_enums(&inner)
            }
            _ => Vec::new(),
        };
        let wrap = move |value| {
            let value = if field.is_list() {
                json!([value])
            } else {
                value
            };
            json!({ field.json_name(): value })
        };
        values.into_iter().map(wrap)
    };
    message.fields().flat_map(in_field).collect()
}

#[tokio::test]
async fn unknown_enum_number_is_refused_over_every_wire() {
    let app = TestApp::start().await;
    let pool = DescriptorPool::decode(hallpass::proto::FILE_DESCRIPTOR_SET).unwrap();
    let services = pool
        .services()
        .filter(|service| service.package_name() == "hallpass.v1");
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let mut count = 0;
    for method in methods {
        let path = format!("{}/{}", method.parent_service().full_name(), method.name());
        for mut message in with_unknown_enums(&method.input()) {
            count += 1;
            for (field, value) in [("username", "newcomer"), ("userId", &*app.admin.id)] {
                if method.input().get_field_by_json_name(field).is_some() {
                    message[field] = value.into();
                }
            }
            let procedure = Procedure::find(&path);
            let wires = Wire::ALL.into_iter();
            for wire in wires.filter(|wire| !wire.is_get() || procedure.takes_get()) {
                let call = Call::new(&path, message.clone()).bearer(&app.admin.token);
                let failure = app.client.call(wire, call).await.result.expect_err(&path);
                assert_eq!(failure.code, "invalid_argument", "{path} {message}");
            }
        }
    }
    assert!(count >= 6, "{count}");
}

#[tokio::test]
async fn content_type_parameters_make_no_difference() {
    let app = TestApp::start().await;
    let bearer = format!("Bearer {}", app.admin.token);
    for content_type in [
        "application/json; charset=UTF8",
        "application/json;charset=\"utf-8\"",
        "Application/JSON ; foo=bar",
        "application/json; charset=latin1",
    ] {
        let request = Request::post("/hallpass.v1.AuthnService/GetCurrentUser")
            .header("authorization", &bearer)
            .header("content-type", content_type)
            .body(Bytes::from_static(b"{}"));
        let reply = app
            .client
            .send(request.unwrap(), HeaderMap::new(), false)
            .await;
        assert_eq!(reply.head.status, 200, "{content_type}");
        assert_eq!(reply.head.headers["content-type"], "application/json");
    }
    let request = Request::post("/hallpass.v1.AuthnService/GetCurrentUser");
    let request = request.body(Bytes::from_static(b"{}")).unwrap();
    let reply = app.client.send(request, HeaderMap::new(), false).await;
    assert_eq!(reply.head.status, 415);
    let text = str::from_utf8(&reply.body).unwrap();
    assert!(
        text.starts_with(
            "the request has no content type: send one of application/json, application/proto"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn not_found_names_what_exists() {
    let app = TestApp::start().await;
    let meant = "did you mean /hallpass.v1.TokenService/CreateToken?";
    for (content_type, body) in [("application/json", &b"{}"[..]), ("application/proto", b"")] {
        let request = Request::post("/hallpass.v1.TokenService/CreateTokens")
            .header("content-type", content_type)
            .body(Bytes::from_static(body));
        let reply = app
            .client
            .send(request.unwrap(), HeaderMap::new(), false)
            .await;
        assert_eq!(reply.head.status, 404);
        let error = reply.json();
        assert_eq!(error["code"], "unimplemented");
        assert!(
            error["message"].as_str().unwrap().contains(meant),
            "{error}"
        );
    }
    let request = Request::post("/hallpass.v1.TokenService/CreateTokens")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Bytes::from_static(&[0; 5]));
    let reply = app
        .client
        .send(request.unwrap(), HeaderMap::new(), true)
        .await;
    assert_eq!(reply.head.headers["grpc-status"], "12");
    let message = reply.head.headers["grpc-message"].to_str().unwrap();
    assert!(
        message.contains("CreateToken%3F") || message.contains("CreateToken?"),
        "{message}"
    );

    let text = |reply: crate::client::HttpResponse| String::from_utf8(reply.body.to_vec()).unwrap();
    let reply = app
        .client
        .ask(Method::GET, "/oauth2/introspection", &[])
        .await;
    assert_eq!(reply.head.status, 404);
    let told = text(reply);
    assert!(
        told.contains("did you mean /oauth2/introspect?") && told.contains("/healthz"),
        "{told}"
    );
    let accept = [("accept", "application/json")];
    let reply = app.client.ask(Method::GET, "/nope", &accept).await;
    assert_eq!(
        reply.head.headers["content-type"],
        "application/problem+json"
    );
    let reply = app
        .client
        .ask(Method::POST, "/oauth2/device/registration", &[])
        .await;
    assert_eq!(reply.head.status, 404);
    assert!(
        reply.head.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
}
