//! The metadata that locates introspection and revocation (RFC 8414), and the issuer.

use hallpass::server::PublicUrl;
use http::Method;
use serde_json::{Value, json};

use crate::test_app::TestApp;

use crate::introspection::PATH;

#[tokio::test]
async fn metadata_names_the_endpoints_under_the_clients_host() {
    let app = TestApp::start().await;
    let path = "/.well-known/oauth-authorization-server";
    let ask = async |app: &TestApp, headers: &[(&str, &str)]| {
        let reply = app.client.ask(Method::GET, path, headers).await;
        assert_eq!(reply.status_and("cache-control"), (200, vec!["no-store"]));
        reply.json()
    };
    let forwarded = ("x-forwarded-proto", "https");
    let issuer = format!("http://{}", app.client.server);
    let told = ask(&app, &[forwarded]).await;
    assert_eq!(told["issuer"], issuer, "no proxy is trusted");
    assert_eq!(told["introspection_endpoint"], format!("{issuer}{PATH}"));
    assert_eq!(
        told["revocation_endpoint"],
        format!("{issuer}/oauth2/revoke")
    );
    let mut methods = vec!["client_secret_basic", "client_secret_post", "Bearer"];
    let introspection = &told["introspection_endpoint_auth_methods_supported"];
    assert_eq!(introspection, &json!(methods));
    methods[2] = "none";
    let revocation = &told["revocation_endpoint_auth_methods_supported"];
    assert_eq!(revocation, &json!(methods));
    // RFC 8414 §3.2; and authlib treats an empty list as absent.
    let lists = told
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_array);
    assert!(lists.clone().count() > 2 && lists.clone().all(|list| !list.is_empty()));
    assert_eq!(told["response_types_supported"], json!(["none"]));
    let scopes = told["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("hallpass:tokens:verify")));

    let trust = |net: &str| vec![net.parse().unwrap()];
    let app = app.restart_with(|settings| settings.server.trusted_proxies = trust("127.0.0.0/8"));
    let app = app.await;
    let https = format!("https://{}", app.client.server);
    assert_eq!(ask(&app, &[forwarded]).await["issuer"], https);
    let host = [("host", "tokens.example"), forwarded];
    assert_eq!(ask(&app, &host).await["issuer"], "https://tokens.example");
    for odd in ["http", "HTTPS, http", "ftp"] {
        let told = ask(&app, &[("x-forwarded-proto", odd)]).await;
        assert!(told["issuer"].as_str().unwrap().starts_with("http://"));
    }
}

#[tokio::test]
async fn public_url_is_the_issuer_whatever_the_host() {
    let url = "https://example.com/tokens";
    let app = TestApp::start_with(|settings| {
        settings.server.public_url = Some(PublicUrl::parse(url).unwrap());
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let path = "/.well-known/oauth-authorization-server";
    let forged = [("host", "evil.example"), ("x-forwarded-proto", "http")];
    // Clients use the second path (RFC 8414 §3.1); the first is what a proxy makes of the issuer's path
    // followed by the well-known one.
    for path in [path, &format!("{path}/tokens")] {
        let reply = app.client.ask(Method::GET, path, &forged).await;
        let told = reply.json();
        assert_eq!(told["issuer"], url, "{path}");
        for (name, below) in [("introspection", PATH), ("revocation", "/oauth2/revoke")] {
            assert_eq!(told[format!("{name}_endpoint")], format!("{url}{below}"));
        }
        assert!(!told.to_string().contains("evil"));
    }
    for other in ["/", "/token", "/tokens/", "/tokens/x"] {
        let path = format!("{path}{other}");
        let reply = app.client.ask(Method::GET, &path, &forged).await;
        assert_eq!(reply.head.status, 404, "{other}");
    }
    let bearer = format!("Bearer {}", app.admin.token);
    let headers = [&[("authorization", &*bearer)][..], &forged].concat();
    let token = app.admin.token.clone();
    let form = [("token", &*token)];
    let reply = app.client.form(PATH, &headers, &form).await;
    assert_eq!(reply.json()["iss"], url);
    // The control: without it, the client's Host determines the issuer.
    let app = app.restart_with(|settings| settings.server.public_url = None);
    let reply = app.await.client.form(PATH, &headers, &form).await;
    assert_eq!(reply.json()["iss"], "http://evil.example");
}
