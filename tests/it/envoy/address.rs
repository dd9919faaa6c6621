//! The address from which a token is used according to Envoy, and which callers are trusted to report it.

use std::time::Duration;

use hallpass::app::background::last_use::Flush;
use serde_json::{Value, json};

use crate::{
    client::Call,
    test_app::{NewToken, TestApp},
};

use super::{CHECK, GRPC, ask, bearer, check, verdict};

#[tokio::test]
async fn networks_apply_to_the_clients_address_behind_trusted_proxies() {
    let trusted = ["192.0.2.0/24", "127.0.0.1/32"].map(|net| net.parse().unwrap());
    let trusted = trusted.to_vec();
    let app = TestApp::start_with(|settings| settings.server.trusted_proxies = trusted).await;
    let token = json!({ "allowedCidrs": ["10.0.0.0/8"] });
    let token = app.child(&app.admin.token, token).await;
    for (address, forwarded, passes) in [
        ("10.0.0.1", "", true),
        ("10.0.0.1", "198.51.100.1", true),
        ("198.51.100.1", "10.0.0.1", false),
        ("192.0.2.1", "10.0.0.1", true),
        ("192.0.2.1", "10.0.0.1,198.51.100.1", false),
        ("192.0.2.1", "10.0.0.1, 192.0.2.7", true),
        ("192.0.2.1", "", false),
        ("", "10.0.0.1", false),
        ("localhost", "10.0.0.1", false),
    ] {
        let mut headers = bearer(&token.text);
        if !forwarded.is_empty() {
            headers["x-forwarded-for"] = forwarded.into();
        }
        let got = ask(&app, check(headers, address, None)).await;
        assert_eq!(got.is_ok(), passes, "{address} {forwarded}");
    }
    let unknown =
        json!({ "attributes": { "request": { "http": { "headers": bearer(&token.text) } } } });
    assert!(
        ask(&app, unknown).await.is_err(),
        "an unknown address is not allowed"
    );
}

/// Anyone can send a message. For an untrusted caller the address of its own connection counts.
#[tokio::test]
async fn reported_address_is_trusted_only_from_proxies_and_callers_who_may_verify() {
    let app = TestApp::start().await;
    let make = async |fields: Value| app.child(&app.admin.token, fields).await;
    let verifier = make(json!({ "scopes": ["hallpass:tokens:verify"] })).await;
    let other = make(json!({ "scopes": ["hallpass:tokens:read"] })).await;
    let (inside, here) = ("10.0.0.1", "127.0.0.1");
    let bound = make(json!({ "allowedCidrs": ["10.0.0.0/8"] })).await;
    let local = make(json!({ "allowedCidrs": ["127.0.0.0/8"] })).await;
    let last_use = async |app: &TestApp, id: &str| {
        app.app.flush_uses(Flush::Now).await.unwrap();
        let got = app.call(
            &app.admin.token,
            "TokenService/GetToken",
            json!({ "tokenId": id }),
        );
        let last = got.await.ok()["token"]["lastUse"].clone();
        (last["ip"].clone(), last["reporterIp"].clone())
    };
    let claim = async |app: &TestApp, token: &NewToken, address: &str, caller: &str| {
        app.clock.advance(Duration::from_secs(1));
        let call = Call::new(CHECK, check(bearer(&token.text), address, None));
        let call = if caller.is_empty() {
            call
        } else {
            call.bearer(caller)
        };
        let answer = app.client.call(GRPC, call).await;
        answer.result.map(|answer| verdict(&answer).is_ok())
    };
    // A caller without a credential.
    assert!(!claim(&app, &bound, inside, "").await.unwrap());
    assert!(claim(&app, &local, inside, "").await.unwrap());
    let seen = (json!(here), Value::Null);
    assert_eq!(
        last_use(&app, &local.id).await,
        seen,
        "not the claimed address"
    );
    for caller in [&verifier.text, &app.admin.token] {
        assert!(claim(&app, &bound, inside, caller).await.unwrap());
        assert!(!claim(&app, &local, inside, caller).await.unwrap());
    }
    let told = (json!(inside), json!(here));
    assert_eq!(
        last_use(&app, &bound.id).await,
        told,
        "with the caller who reported it"
    );
    let failure = claim(&app, &bound, inside, &other.text).await.unwrap_err();
    assert_eq!(failure.code, "permission_denied");
    // A trusted proxy.
    let trusted = vec!["127.0.0.1/32".parse().unwrap()];
    let app = app
        .restart_with(|settings| settings.server.trusted_proxies = trusted)
        .await;
    assert!(claim(&app, &bound, inside, "").await.unwrap());
    assert!(!claim(&app, &local, inside, "").await.unwrap());
    assert_eq!(last_use(&app, &bound.id).await, told);
}
