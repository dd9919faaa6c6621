//! `allowed_cidrs`: where a token may be used from, directly and behind proxies.

use serde_json::json;

use crate::{
    client::{Call, Reply, Wire},
    test_app::TestApp,
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
