//! `envoy.service.auth.v3.Authorization/Check`: Envoy asks over gRPC whether a request may pass.

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Call, Codec, Protocol, Wire},
    introspection::basic,
    test_app::TestApp,
};

pub(crate) const CHECK: &str = "envoy.service.auth.v3.Authorization/Check";
pub(crate) const GRPC: Wire = Wire::new(Protocol::Grpc, Codec::Proto);

/// Envoy's message for a request with these header fields.
pub(crate) fn check(headers: Value, address: &str, scope: Option<&str>) -> Value {
    let socket = json!({ "address": address, "portValue": 50_000 });
    let mut attributes = json!({
        "source": { "address": { "socketAddress": socket } },
        "request": { "http": { "method": "POST", "path": "/x?scope=a", "host": "app", "headers": headers } },
    });
    if let Some(scope) = scope {
        attributes["contextExtensions"] = json!({ "scope": scope });
    }
    json!({ "attributes": attributes })
}

pub(crate) fn bearer(token: &str) -> Value {
    json!({ "authorization": format!("Bearer {token}") })
}

/// The decision: the header fields to set, or the status to return with its fields and body.
pub(crate) async fn ask(app: &TestApp, message: Value) -> Result<Value, (u64, Value, Value)> {
    let answer = app.client.call(GRPC, Call::new(CHECK, message)).await.ok();
    verdict(&answer)
}

pub(crate) fn verdict(answer: &Value) -> Result<Value, (u64, Value, Value)> {
    let status = answer["status"]
        .get("code")
        .map_or(0, |code| code.as_u64().unwrap());
    let set = |options: &Value| {
        let mut fields = json!({});
        for option in options.as_array().unwrap() {
            assert_eq!(option["appendAction"], "OVERWRITE_IF_EXISTS_OR_ADD");
            assert_eq!(option["keepEmptyValue"], true);
            let (name, value) = (&option["header"]["key"], &option["header"]["value"]);
            let value = value.as_str().unwrap_or_default();
            let name = name.as_str().unwrap();
            let before = fields
                .as_object_mut()
                .unwrap()
                .insert(name.to_owned(), value.into());
            assert_eq!(before, None);
        }
        fields
    };
    if let Some(allowed) = answer.get("okResponse") {
        assert_eq!((status, answer.get("deniedResponse")), (0, None));
        return Ok(set(&allowed["headers"]));
    }
    let denied = &answer["deniedResponse"];
    let body = serde_json::from_str(denied["body"].as_str().unwrap()).unwrap();
    let mut fields = set(&denied["headers"]);
    let content_type = fields.as_object_mut().unwrap().remove("content-type");
    assert_eq!(content_type, Some(json!("application/json")));
    let http = match status {
        16 => "Unauthorized",
        7 => "Forbidden",
        other => panic!("{other}"),
    };
    assert_eq!(denied["status"]["code"], http);
    Err((status, fields["www-authenticate"].clone(), body))
}

#[tokio::test]
async fn valid_token_passes_with_its_identity_over_every_wire() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app
        .child(&alice.token, json!({ "scopes": ["b", "a"] }))
        .await;
    let expected = json!({
        "x-auth-user": "alice",
        "x-auth-user-id": alice.id,
        "x-auth-token-id": token.id,
        "x-auth-scopes": "a b",
    });
    // The client's values are overwritten.
    let mut headers = bearer(&token.text);
    headers["x-auth-user"] = "root".into();
    let message = check(headers, "192.0.2.1", None);
    for wire in Wire::ALL.into_iter().filter(|wire| !wire.is_get()) {
        let call = Call::new(CHECK, message.clone());
        let answer = app.client.call(wire, call).await.ok();
        assert_eq!(verdict(&answer), Ok(expected.clone()), "{wire:?}");
    }
    let unlimited = ask(&app, check(bearer(&alice.token), "192.0.2.1", None)).await;
    assert_eq!(
        unlimited.unwrap()["x-auth-scopes"],
        "",
        "set even when empty"
    );
}

#[tokio::test]
async fn bad_token_is_denied_and_only_its_holder_is_told_why() {
    let app = TestApp::start().await;
    for bad in app.bad_tokens().await {
        let message = check(bearer(&bad.text), "192.0.2.1", Some("deploy"));
        let (status, challenge, body) = ask(&app, message).await.unwrap_err();
        let told = format!("error_description=\"{}\"", bad.told);
        assert!(challenge.as_str().unwrap().ends_with(&told), "{challenge}");
        assert_eq!((status, &body["error"]), (16, &json!("invalid_token")));
        assert_eq!(body["error_description"], bad.told);
    }
}

#[tokio::test]
async fn unknown_context_extension_is_refused_and_unscoped_tokens_can_be_denied() {
    let app = TestApp::start().await;
    let scoped = app
        .child(&app.admin.token, json!({ "scopes": ["a"] }))
        .await;
    let with = |token: &str, extensions: Value| {
        let mut message = check(bearer(token), "192.0.2.1", None);
        message["attributes"]["contextExtensions"] = extensions;
        message
    };
    for (extensions, told) in [
        (json!({ "scopes": "a" }), "did you mean \"scope\"?"),
        (
            json!({ "scope": "a", "required": "b" }),
            "there is no key \"required\" here",
        ),
        (json!({ "unscoped": "allow" }), "must be \"deny\""),
    ] {
        let call = Call::new(CHECK, with(&app.admin.token, extensions));
        let failure = app.client.call(GRPC, call).await.result.unwrap_err();
        assert_eq!(failure.code, "invalid_argument");
        assert!(failure.message.contains(told), "{}", failure.message);
    }
    let denying = json!({ "scope": "a", "unscoped": "deny" });
    assert!(ask(&app, with(&scoped.text, denying.clone())).await.is_ok());
    let (status, ..) = ask(&app, with(&app.admin.token, denying))
        .await
        .unwrap_err();
    assert_eq!(status, 7);
}

#[tokio::test]
async fn raw_header_fields_are_read_one_by_one() {
    let app = TestApp::start().await;
    let raw =
        |value: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, value);
    let field = |name: &str, value: &str| json!({ "key": name, "rawValue": raw(value) });
    let good = field("authorization", &format!("Bearer {}", app.admin.token));
    let asked = |fields: &[&Value]| {
        let mut message = check(json!({}), "192.0.2.1", None);
        message["attributes"]["request"]["http"]["headerMap"] = json!({ "headers": fields });
        message
    };
    let passed = ask(&app, asked(&[&field("accept", "a"), &good])).await;
    assert_eq!(passed.unwrap()["x-auth-user"], "admin");
    let text = json!({ "key": "Authorization", "value": format!("Bearer {}", app.admin.token) });
    assert!(ask(&app, asked(&[&text])).await.is_ok());
    for other in [
        &good,
        &field("Authorization", "Basic eA=="),
        &field("authorization", "Bearer \u{0}"),
    ] {
        assert!(ask(&app, asked(&[&good, other])).await.is_err(), "{other}");
        assert!(ask(&app, asked(&[other, &good])).await.is_err(), "{other}");
    }
    let mut both = asked(&[&good]);
    both["attributes"]["request"]["http"]["headers"] = bearer(&app.admin.token);
    assert!(ask(&app, both).await.is_err(), "twice");
}

#[tokio::test]
async fn only_the_checked_requests_authorization_counts() {
    let app = TestApp::start().await;
    let token = &app.admin.token;
    let authorization = |value: &str| check(json!({ "authorization": value }), "::1", None);
    let twice = json!({
        "authorization": format!("Bearer {token}"),
        "Authorization": format!("Bearer {token}"),
    });
    let cookie = json!({ "cookie": format!("token={token}") });
    for message in [
        json!({}),
        json!({ "attributes": {} }),
        check(json!({}), "::1", None),
        check(cookie, "::1", None),
        check(twice, "::1", None),
        authorization(""),
        authorization(token),
        authorization(&basic(token, "")),
        // As Envoy joins two of them.
        authorization(&format!("Bearer {token},Bearer {token}")),
    ] {
        // The credential of the call itself is not the request's.
        let call = Call::new(CHECK, message.clone()).bearer(token);
        let answer = app.client.call(GRPC, call).await.ok();
        let (status, ..) = verdict(&answer).unwrap_err();
        assert_eq!(status, 16, "{message}");
    }
    let by_basic = check(json!({ "authorization": basic("git", token) }), "::1", None);
    assert!(ask(&app, by_basic).await.is_ok());
    // A caller that presents a credential must present a valid one.
    let bad = Call::new(CHECK, check(bearer(token), "::1", None)).bearer("nonsense");
    let failure = app.client.call(GRPC, bad).await.result.unwrap_err();
    assert_eq!(failure.code, "unauthenticated");
}

#[tokio::test]
async fn routes_may_accept_api_keys_and_challenge_with_basic() {
    let app = TestApp::start().await;
    let with = |headers: Value, extensions: Value| {
        let mut message = check(headers, "192.0.2.1", None);
        message["attributes"]["contextExtensions"] = extensions;
        message
    };
    let key = || json!({ "x-api-key": app.admin.token });
    let extensions = json!({ "credential": "x-api-key", "challenge": "basic" });
    assert!(ask(&app, with(key(), extensions.clone())).await.is_ok());
    assert!(ask(&app, with(key(), json!({}))).await.is_err());
    let (status, challenge, _) = ask(&app, with(json!({}), extensions)).await.unwrap_err();
    assert_eq!(status, 16);
    assert_eq!(challenge, "Basic realm=\"hallpass\", charset=\"UTF-8\"");
}

/// By default Envoy sends the entire request head.
#[tokio::test]
async fn check_message_may_hold_a_browsers_request_head() {
    let app = TestApp::start().await;
    let mut headers = bearer(&app.admin.token);
    headers["cookie"] = "x".repeat(62_000).into();
    for field in 0..190 {
        headers[format!("x-field-{field}")] = "1".into();
    }
    assert!(
        ask(&app, check(headers.clone(), "192.0.2.1", None))
            .await
            .is_ok()
    );
    headers["cookie"] = "x".repeat(140_000).into();
    let call = Call::new(CHECK, check(headers, "192.0.2.1", None));
    let failure = app.client.call(GRPC, call).await.result.unwrap_err();
    assert_eq!(failure.code, "resource_exhausted");
    // The control: the limit of other messages is unchanged.
    let large = json!({ "token": "x".repeat(70_000) });
    let call = Call::new("TokenService/VerifyToken", large).bearer(&app.admin.token);
    let failure = app.client.call(GRPC, call).await.result.unwrap_err();
    assert_eq!(failure.code, "resource_exhausted");
}

#[tokio::test]
async fn all_scopes_of_a_routes_configuration_are_required() {
    let app = TestApp::start().await;
    let token = app
        .child(&app.admin.token, json!({ "scopes": ["a", "b"] }))
        .await;
    for (scope, passes) in [("a", true), ("b a", true), ("a c", false)] {
        let message = check(bearer(&token.text), "::1", Some(scope));
        match ask(&app, message).await {
            Ok(_) => assert!(passes, "{scope}"),
            Err((status, challenge, _)) => {
                assert!(!passes && status == 7, "{scope}: {status}");
                let expected = format!(
                    "Bearer realm=\"hallpass\", error=\"insufficient_scope\", scope=\"{scope}\""
                );
                assert_eq!(challenge, expected);
            }
        }
    }
    for scope in ["", "A", "a  b"] {
        let call = Call::new(CHECK, check(bearer(&app.admin.token), "::1", Some(scope)));
        app.client.call(GRPC, call).await.invalid_field("scope");
    }
}

/// Verifications are not audited, since proxies make so many.
#[tokio::test]
async fn refusals_of_verified_tokens_leave_no_row_in_the_audit_log() {
    let app = TestApp::start().await;
    let bad = app.bad_tokens().await;
    for bad in &bad {
        let message = check(bearer(&bad.text), "192.0.2.1", None);
        assert!(ask(&app, message).await.is_err());
        let authorization = format!("Bearer {}", bad.text);
        let headers = [("authorization", &*authorization)];
        let reply = app.client.ask(Method::GET, "/forward-auth", &headers).await;
        assert_eq!(reply.head.status, 401);
        let asker = format!("Bearer {}", app.admin.token);
        let asker = [("authorization", &*asker)];
        let form = [("token", &*bad.text)];
        let reply = app.client.form("/oauth2/introspect", &asker, &form).await;
        assert_eq!(reply.head.status, 200);
    }
    let rows = |sql: rusqlite::Connection| -> i64 {
        let count = "SELECT count(*) FROM audit WHERE action = 'authenticate.token'";
        sql.query_one(count, [], |row| row.get(0)).unwrap()
    };
    let app = app.restart().await;
    assert_eq!(rows(app.sql()), 0);
    // The control: as a caller's credential it leaves one.
    assert!(!app.accepts(&bad[4].text).await);
    assert_eq!(rows(app.stop().await.sql()), 1);
}

#[tokio::test]
async fn store_failure_is_an_error_that_envoy_treats_as_denied() {
    let app = TestApp::start().await;
    let damage = "ALTER TABLE tokens RENAME TO hidden";
    app.sql().execute_batch(damage).unwrap();
    let call = || Call::new(CHECK, check(bearer(&app.admin.token), "::1", None));
    let failure = app.client.call(GRPC, call()).await.result.unwrap_err();
    assert!(["unavailable", "internal"].contains(&&*failure.code));
    let repair = "ALTER TABLE hidden RENAME TO tokens";
    app.sql().execute_batch(repair).unwrap();
    let answer = app.client.call(GRPC, call()).await.ok();
    assert!(verdict(&answer).is_ok());
}
