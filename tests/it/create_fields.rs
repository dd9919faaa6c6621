//! `CreateToken`: notes, scopes and networks, valid and invalid.

use serde_json::{Value, json};

use crate::test_app::TestApp;

const CREATE: &str = "TokenService/CreateToken";

#[tokio::test]
async fn notes_are_stored_verbatim_and_may_be_empty_or_repeated() {
    let app = TestApp::start().await;
    for note in ["", "x", "x", &"é".repeat(512), "a\u{200d}b \\ \" \u{1F600}"] {
        let token = app.child(&app.admin.token, json!({ "note": note })).await;
        let kept = token.metadata.get("note").cloned().unwrap_or("".into());
        assert_eq!(kept, note);
    }
}

#[tokio::test]
async fn long_notes_and_control_characters_are_refused_without_an_echo() {
    let app = TestApp::start().await;
    for note in ["a\nb", "a\u{0}", "\u{7f}", "\u{85}", &"n".repeat(1_025)] {
        let answer = app.call(&app.admin.token, CREATE, json!({ "note": note }));
        let failure = answer.await.invalid_field("note");
        assert!(!failure.message.contains(note), "{failure:?}");
    }
}

#[tokio::test]
async fn scopes_and_networks_are_returned_sorted_and_deduplicated() {
    let app = TestApp::start().await;
    let message = json!({
        "scopes": ["deploy", "a/b_c.d-e:f", "hallpass:tokens:read", "deploy"],
        "allowedCidrs": ["2001:db8::/32", "127.0.0.1", "::ffff:10.0.0.0/104", "127.0.0.1/32"],
    });
    let token = app.child(&app.admin.token, message).await;
    let scopes = json!(["a/b_c.d-e:f", "deploy", "hallpass:tokens:read"]);
    assert_eq!(token.metadata["scopes"], scopes);
    let cidrs = json!(["10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32"]);
    assert_eq!(token.metadata["allowedCidrs"], cidrs);
}

fn numbered(count: usize, text: impl Fn(usize) -> String) -> Value {
    (0..count).map(text).collect()
}

#[tokio::test]
async fn bad_scopes_and_networks_are_refused() {
    let app = TestApp::start().await;
    let refused = async |field: &str, values: Value| {
        let answer = app.call(&app.admin.token, CREATE, json!({ field: values }));
        answer.await
    };
    let scope = |i| format!("scope-{i}");
    for bad in [
        json!([""]),
        json!(["A"]),
        json!(["a b"]),
        json!(["é"]),
        json!(["x".repeat(65)]),
        json!(["hallpass:everything"]),
        json!(["hallpass:"]),
        numbered(33, scope),
    ] {
        refused("scopes", bad).await.invalid_field("scopes");
    }
    refused("scopes", json!(["x".repeat(64)])).await.ok();
    refused("scopes", numbered(32, scope)).await.ok();

    let cidr = |i| format!("10.0.{i}.0/24");
    for bad in [
        json!([""]),
        json!(["here"]),
        json!(["10.0.0.0/33"]),
        json!(["10.1.2.3/8"]),
        json!(["10.0.0/8"]),
        numbered(33, cidr),
    ] {
        let answer = refused("allowedCidrs", bad).await;
        answer.invalid_field("allowed_cidrs");
    }
    refused("allowedCidrs", numbered(32, cidr)).await.ok();
}
