//! `allowed_cidrs`: the addresses from which a token may be used, directly, behind proxies and according to Envoy, and
//! which callers are trusted to report an address.

use std::time::Duration;

use hallpass::app::background::last_use::Flush;
use serde_json::{Value, json};

use crate::{
    client::{Call, Reply, Wire},
    envoy::{CHECK, GRPC, ask, bearer, check, verdict},
    test_app::{NewToken, TestApp},
};

async fn from(app: &TestApp, token: &str, forwarded_for: &[&str]) -> Reply {
    let mut call = Call::new("AuthnService/GetCurrentUser", json!({})).bearer(token);
    for line in forwarded_for {
        call = call.header("x-forwarded-for", line);
    }
    app.client.call(Wire::CURL, call).await
}

#[tokio::test]
async fn token_works_only_from_its_networks() {
    let app = TestApp::start().await;
    for (cidrs, works) in [
        (json!([]), true),
        (json!(["127.0.0.1"]), true),
        (json!(["10.0.0.0/8", "127.0.0.0/8"]), true),
        (json!(["::ffff:127.0.0.0/104"]), true),
        (json!(["10.0.0.0/8"]), false),
        (json!(["127.0.0.2"]), false),
        (json!(["::1"]), false),
        (json!(["::/0"]), false),
    ] {
        let token = app.sign_in(&app.admin, json!({ "allowedCidrs": cidrs }));
        let answer = from(&app, &token.await.text, &[]).await;
        if works {
            answer.ok();
        } else {
            answer.refused("unauthenticated", "ADDRESS_NOT_ALLOWED");
        }
    }
}

#[tokio::test]
async fn forwarded_addresses_are_ignored_unless_the_proxy_is_trusted() {
    let app = TestApp::start().await;
    let cidrs = json!({ "allowedCidrs": ["10.0.0.0/8"] });
    let token = app.sign_in(&app.admin, cidrs).await;
    let answer = from(&app, &token.text, &["10.0.0.1"]).await;
    answer.refused("unauthenticated", "ADDRESS_NOT_ALLOWED");
}

#[tokio::test]
async fn behind_trusted_proxies_the_first_untrusted_address_from_the_right_counts() {
    let app = TestApp::start_with(|settings| {
        let trusted = ["127.0.0.0/8", "192.0.2.0/24"];
        settings.server.trusted_proxies = trusted.map(|net| net.parse().unwrap()).to_vec();
    })
    .await;
    let cidrs = json!({ "allowedCidrs": ["10.0.0.0/8", "2001:db8::/32"] });
    let token = app.sign_in(&app.admin, cidrs).await;
    for (lines, works) in [
        (&["10.0.0.1"][..], true),
        (&["::ffff:10.0.0.1"], true),
        (&["2001:db8::7"], true),
        (&["10.0.0.1, 192.0.2.7"], true),
        (&["10.0.0.1", "192.0.2.7"], true),
        (&["11.0.0.1"], false),
        (&["10.0.0.1, 11.0.0.1"], false),
        (&["10.0.0.1", "11.0.0.1"], false),
        (&["10.0.0.1, nonsense"], false),
        (&[], false),
    ] {
        let answer = from(&app, &token.text, lines).await;
        if works {
            answer.ok();
        } else {
            answer.refused("unauthenticated", "ADDRESS_NOT_ALLOWED");
        }
    }
}

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
