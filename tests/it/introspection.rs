//! `POST /oauth2/introspect` (RFC 7662).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::{Value, json};

use crate::{
    client::HttpResponse,
    test_app::{ADMIN_PASSWORD, START, TestApp},
};

pub(crate) const PATH: &str = "/oauth2/introspect";

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

async fn ask(app: &TestApp, form: &[(&str, &str)]) -> HttpResponse {
    let bearer = format!("Bearer {}", app.admin.token);
    let headers = [("authorization", &*bearer)];
    app.client.form(PATH, &headers, form).await
}

/// The body of a successful introspection.
async fn answer(app: &TestApp, form: &[(&str, &str)]) -> Value {
    let reply = ask(app, form).await;
    assert_eq!(reply.status_and("cache-control"), (200, vec!["no-store"]));
    reply.json()
}

fn inactive() -> Value {
    json!({ "active": false })
}

#[tokio::test]
async fn active_token_is_returned_with_user_scopes_and_times() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let expires = Duration::from_mins(10);
    let token = json!({ "scopes": ["read", "deploy"], "expireTime": app.clock.after(expires) });
    let token = app.child(&alice.token, token).await;
    let now = START.as_micros() / 1_000_000;
    let expected = json!({
        "active": true,
        "scope": "deploy read",
        "username": "alice",
        "sub": alice.id,
        "client_id": alice.id,
        "token_type": "Bearer",
        "exp": now + 600,
        "iat": now,
        "jti": token.id,
        "iss": format!("http://{}", app.client.server),
    });
    for hint in ["access_token", "refresh_token", "whatever"] {
        let form = [("token", &*token.text), ("token_type_hint", hint)];
        assert_eq!(answer(&app, &form).await, expected, "{hint}");
    }
    let unlimited = answer(&app, &[("token", &alice.token)]).await;
    assert_eq!(unlimited["active"], true);
    for absent in ["scope", "exp", "nbf", "aud"] {
        assert_eq!(unlimited.get(absent), None);
    }
}

#[tokio::test]
async fn bad_token_is_inactive_and_nothing_more_is_revealed() {
    let app = TestApp::start().await;
    for bad in app.bad_tokens().await {
        let token = ("token", &*bad.text);
        assert_eq!(answer(&app, &[token]).await, inactive(), "{}", bad.reason);
    }
    let password = ("token", ADMIN_PASSWORD);
    assert_eq!(answer(&app, &[password]).await, inactive());
}

#[tokio::test]
async fn requested_scopes_and_address_are_required() {
    let app = TestApp::start().await;
    let fields = json!({ "scopes": ["a", "b"], "allowedCidrs": ["10.0.0.0/8"] });
    let token = app.child(&app.admin.token, fields).await;
    for (scope, ip, active) in [
        ("", "10.0.0.1", true),
        ("a b", "10.0.0.1", true),
        ("b", "::ffff:10.0.0.1", true),
        ("a c", "10.0.0.1", false),
        ("a", "192.0.2.1", false),
        ("a", "", false),
    ] {
        let form = [("token", &*token.text), ("scope", scope), ("client_ip", ip)];
        let got = answer(&app, &form).await;
        assert_eq!(got["active"], active, "{scope} {ip}");
        assert!(active || got == inactive());
    }
}

#[tokio::test]
async fn caller_authenticates_by_bearer_or_as_the_basic_password() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for user in ["", "alice", "nobody", "hallpass"] {
        let authorization = basic(user, &alice.token);
        let headers = [("authorization", &*authorization)];
        let form = [("token", &*app.admin.token)];
        let reply = app.client.form(PATH, &headers, &form).await;
        assert_eq!(reply.json()["username"], "admin", "{user}");
    }
}

/// As oauth4webapi and openid-client send it: everything but letters and digits is escaped.
#[tokio::test]
async fn basic_is_form_decoded_and_the_secret_may_be_in_the_form() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = ("token", &*app.admin.token);
    let escaped = alice.token.replace('_', "%5F");
    let first = format!("%{:x}{}", alice.token.as_bytes()[0], &alice.token[1..]);
    for password in [&*alice.token, &escaped, &first] {
        let authorization = basic("my%20ci%3A", password);
        let headers = [("authorization", &*authorization)];
        let reply = app.client.form(PATH, &headers, &[token]).await;
        assert_eq!(reply.json()["username"], "admin", "{password}");
        let form = [("token", "x")];
        let reply = app.client.form("/oauth2/revoke", &headers, &form).await;
        assert_eq!(reply.head.status, 200);
    }
    let secret = ("client_secret", &*alice.token);
    for form in [
        &[token, secret][..],
        &[("client_id", "ci"), secret, token],
        &[token, secret, ("client_id", "")],
    ] {
        let reply = app.client.form(PATH, &[], form).await;
        assert_eq!(reply.json()["username"], "admin", "{form:?}");
        let form = [secret, ("token", "x")];
        let reply = app.client.form("/oauth2/revoke", &[], &form).await;
        assert_eq!(reply.head.status, 200);
    }
    // The control: a bearer token is not decoded.
    let bearer = format!("Bearer {escaped}");
    let headers = [("authorization", &*bearer)];
    let reply = app.client.form(PATH, &headers, &[token]).await;
    assert_eq!(reply.head.status, 401);
}

#[tokio::test]
async fn client_authenticating_in_two_ways_is_refused() {
    let app = TestApp::start().await;
    let good = &*app.admin.token;
    let (bearer, basic) = (format!("Bearer {good}"), basic("ci", good));
    let (bearer, basic) = (("authorization", &*bearer), ("authorization", &*basic));
    let (token, secret) = (("token", good), ("client_secret", good));
    for path in [PATH, "/oauth2/revoke"] {
        for (headers, form) in [
            (&[bearer][..], &[token, secret][..]),
            (&[basic], &[token, secret]),
            (&[bearer, basic], &[token]),
            (&[bearer, bearer], &[token]),
            (&[], &[token, secret, secret]),
            (&[("authorization", "Basic !")], &[token, secret]),
        ] {
            let reply = app.client.form(path, headers, form).await;
            assert_eq!(reply.status_and("www-authenticate"), (400, vec![]));
            assert_eq!(reply.json()["error"], "invalid_request");
        }
    }
    // An empty parameter counts as absent, and a client's name is no credential.
    let form = [token, ("client_secret", ""), ("client_id", "ci")];
    for way in [bearer, basic] {
        let reply = app.client.form(PATH, &[way], &form).await;
        assert_eq!(reply.json()["active"], true);
    }
    assert!(app.accepts(good).await, "nothing was revoked");
}

#[tokio::test]
async fn bad_caller_is_challenged_with_the_scheme_it_tried() {
    const BASIC: &str = "Basic realm=\"hallpass\", charset=\"UTF-8\"";
    let app = TestApp::start().await;
    let mut bad = vec![
        (
            String::new(),
            "",
            "sign in: this needs a token in the Authorization header (Bearer)",
        ),
        ("Digest x".to_owned(), "", "the token is invalid"),
        ("Basic !".to_owned(), "", "the token is invalid"),
        (basic("admin", ADMIN_PASSWORD), "", "the token is invalid"),
        (basic(&app.admin.token, ""), "", "the token is invalid"),
        (String::new(), ADMIN_PASSWORD, "the token is invalid"),
    ];
    let bad_tokens = app.bad_tokens().await;
    for token in &bad_tokens {
        bad.push((format!("Bearer {}", token.text), "", token.told));
        bad.push((basic("x", &token.text), "", token.told));
        bad.push((String::new(), &*token.text, token.told));
    }
    for (authorization, secret, told) in bad {
        for question in [&[("token", &*app.admin.token)][..], &[]] {
            let headers = [("authorization", &*authorization)];
            let headers = if authorization.is_empty() {
                &[]
            } else {
                &headers[..]
            };
            let form = [question, &[("client_secret", secret)]].concat();
            let reply = app.client.form(PATH, headers, &form).await;
            let (status, challenges) = reply.status_and("www-authenticate");
            assert_eq!(status, 401, "{authorization}");
            let described = format!("error_description=\"{told}\"");
            let showed_none = authorization.is_empty() && secret.is_empty();
            let is_bearer = |challenge: &str| {
                let begin = challenge.starts_with("Bearer realm=\"hallpass\"");
                begin && challenge.ends_with(&described) != showed_none
            };
            match (authorization.split(' ').next(), &challenges[..]) {
                (Some("Bearer"), [bearer]) => assert!(is_bearer(bearer), "{bearer}"),
                (Some("Basic"), [basic]) => assert_eq!(*basic, BASIC),
                (Some("Digest" | ""), [bearer, basic]) => {
                    assert!(is_bearer(bearer), "{bearer}");
                    assert_eq!(*basic, BASIC);
                }
                other => panic!("{other:?}"),
            }
            let error = json!({ "error": "invalid_client", "error_description": told });
            assert_eq!(reply.json(), error);
        }
    }
}

#[tokio::test]
async fn scoped_caller_needs_the_scope_before_the_request_is_validated() {
    let app = TestApp::start().await;
    let other = app.child(
        &app.admin.token,
        json!({ "scopes": ["hallpass:tokens:read"] }),
    );
    let verify = app.child(
        &app.admin.token,
        json!({ "scopes": ["hallpass:tokens:verify"] }),
    );
    let (other, verify) = (other.await.text, verify.await.text);
    for form in [&[("token", &*app.admin.token)][..], &[], &[("scope", "A")]] {
        let scope = "scope=\"hallpass:tokens:verify\"";
        let bearer = format!("Bearer realm=\"hallpass\", error=\"insufficient_scope\", {scope}");
        let by_basic = "Basic realm=\"hallpass\", charset=\"UTF-8\"";
        for (authorization, challenge, error) in [
            (format!("Bearer {other}"), &*bearer, "insufficient_scope"),
            (basic("ci", &other), by_basic, "invalid_client"),
        ] {
            let headers = [("authorization", &*authorization)];
            let reply = app.client.form(PATH, &headers, form).await;
            // Not 403 (RFC 7662 §2.3).
            let got = reply.status_and("www-authenticate");
            assert_eq!(got, (401, vec![challenge]));
            let told = "the token lacks the scope hallpass:tokens:verify";
            let error = json!({ "error": error, "error_description": told });
            assert_eq!(reply.json(), error);
        }
    }
    let bearer = format!("Bearer {verify}");
    let form = [("token", &*app.admin.token)];
    let reply = app
        .client
        .form(PATH, &[("authorization", &bearer)], &form)
        .await;
    assert_eq!(reply.json()["active"], true);
}

#[tokio::test]
async fn malformed_introspection_is_an_invalid_request() {
    let app = TestApp::start().await;
    let token = ("token", &*app.admin.token);
    for (form, named) in [
        (&[][..], "token: "),
        (&[("token", "")], "token: "),
        (&[("tokens", "x")], "token: "),
        (&[token, token], "token: "),
        (&[token, ("scope", "A")], "scope: "),
        (&[token, ("scopes", "a")], "form: "),
        (&[token, ("scope", "a"), ("required_scope", "b")], "form: "),
        (&[token, ("scope", "a  b")], "scope: "),
        (&[token, ("scope", "a"), ("scope", "b")], "scope: "),
        (&[token, ("client_ip", "localhost")], "client_ip: "),
        (
            &[token, ("token_type_hint", "a"), ("token_type_hint", "b")],
            "token_type_hint: ",
        ),
    ] {
        let reply = ask(&app, form).await;
        assert_eq!(reply.status_and("cache-control"), (400, vec!["no-store"]));
        let error = reply.json();
        assert_eq!(error["error"], "invalid_request");
        let description = error["error_description"].as_str().unwrap();
        assert!(description.starts_with(named), "{description}");
    }
}

#[tokio::test]
async fn only_posted_forms_are_read_never_the_query() {
    let app = TestApp::start().await;
    let bearer = format!("Bearer {}", app.admin.token);
    let authorization = [("authorization", &*bearer)];
    let query = format!("{PATH}?token={}", app.admin.token);
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS] {
        let reply = app.client.ask(method, &query, &authorization).await;
        assert_eq!(reply.status_and("allow"), (405, vec!["POST"]));
        assert_eq!(reply.head.headers["cache-control"], "no-store");
    }
    let reply = app.client.form(&query, &authorization, &[]).await;
    assert_eq!(reply.head.status, 400);
    for (content_type, body) in [
        (
            "application/json",
            json!({ "token": app.admin.token }).to_string(),
        ),
        ("text/plain", format!("token={}", app.admin.token)),
    ] {
        let request = Request::post(PATH)
            .header("content-type", content_type)
            .header("authorization", &bearer)
            .body(Bytes::from(body));
        let request = request.unwrap();
        let reply = app.client.send(request, HeaderMap::new(), false).await;
        assert_eq!(reply.head.status, 415);
        assert_eq!(reply.json()["error"], "invalid_request");
    }
    let long = "x".repeat(70_000);
    let reply = ask(&app, &[("token", &app.admin.token), ("x", &long)]).await;
    assert_eq!(reply.head.status, 413);
}

#[tokio::test]
async fn store_failure_is_503_and_never_inactive() {
    let app = TestApp::start().await;
    let damage = "ALTER TABLE tokens RENAME TO hidden";
    app.sql().execute_batch(damage).unwrap();
    let reply = ask(&app, &[("token", &app.admin.token)]).await;
    assert_eq!(reply.head.status, 503);
    assert_eq!(reply.json()["error"], "server_error");
    let repair = "ALTER TABLE hidden RENAME TO tokens";
    app.sql().execute_batch(repair).unwrap();
    let mended = answer(&app, &[("token", &app.admin.token)]).await;
    assert_eq!(mended["active"], true);
}
