//! Page tokens as a client sees them: any change is refused.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::test_app::TestApp;

const LISTS: [&str; 4] = [
    "TokenService/ListTokens",
    "UserService/ListUsers",
    "AuditService/ListAuditEvents",
    "AdminService/ListAllTokens",
];

/// A server with more than one page of everything, and a page token of each list.
async fn with_page_tokens() -> (TestApp, Vec<(&'static str, String)>) {
    let app = TestApp::start().await;
    app.person("alice").await;
    app.child(&app.admin.token, json!({})).await;
    let mut tokens = Vec::new();
    for list in LISTS {
        let page = app.call(&app.admin.token, list, json!({ "pageSize": 1 }));
        let token = page.await.ok()["nextPageToken"]
            .as_str()
            .unwrap()
            .to_owned();
        tokens.push((list, token));
    }
    (app, tokens)
}

async fn refused(app: &TestApp, list: &str, token: &str) {
    let answer = app.call(&app.admin.token, list, json!({ "pageToken": token }));
    answer.await.invalid_field("page_token");
}

#[tokio::test]
async fn every_single_bit_flip_is_refused() {
    let (app, tokens) = with_page_tokens().await;
    let (list, token) = &tokens[0];
    let bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused(&app, list, &URL_SAFE_NO_PAD.encode(flipped)).await;
    }
    // In its text, too: the last character has unused bits.
    for bit in 0..token.len() * 7 {
        let mut flipped = token.clone().into_bytes();
        flipped[bit / 7] ^= 1 << (bit % 7);
        refused(&app, list, str::from_utf8(&flipped).unwrap()).await;
    }
    // The control: the unchanged token is accepted.
    let answer = app.call(&app.admin.token, list, json!({ "pageToken": token }));
    answer.await.ok();
}

#[test]
fn forged_page_token_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (app, tokens) = runtime.block_on(with_page_tokens());
    let config = ProptestConfig::with_cases(128);
    proptest!(config, |(which in 0..LISTS.len(), cut in 1..75_usize, noise in "\\PC{1,80}")| {
        let (list, token) = &tokens[which];
        runtime.block_on(async {
            refused(&app, list, &token[..cut]).await;
            refused(&app, list, &format!("{token}{noise}")).await;
            refused(&app, list, &format!("{token}=")).await;
            refused(&app, list, &noise).await;
            let (_, other) = &tokens[(which + 1) % tokens.len()];
            refused(&app, list, other).await;
        });
    });
}

/// Pages during writes: unchanged rows appear exactly once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn unchanged_rows_appear_exactly_once_during_writes() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let tick = std::time::Duration::from_millis(1);
    let (mut staying, mut going) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        app.clock.advance(tick);
        staying.push(app.child(&alice.token, json!({})).await.id);
        going.push(app.child(&alice.token, json!({})).await.id);
        app.clock.advance(tick);
        going.push(app.child(&alice.token, json!({})).await.id);
    }
    let write = async {
        for id in &going {
            app.clock.advance(tick);
            app.child(&alice.token, json!({})).await;
            let delete = json!({ "tokenId": id });
            let deleted = app.call(&alice.token, "TokenService/DeleteToken", delete);
            deleted.await.ok();
        }
    };
    let read = async {
        let mut passes = 0;
        for size in (1..=9).cycle().take(27) {
            for reverse in [false, true] {
                let request = json!({ "pageSize": size, "reverse": reverse });
                let seen = pass(&app, &alice.token, request).await;
                let mut kept: Vec<_> = seen.into_iter().filter(|id| staying.contains(id)).collect();
                if reverse {
                    kept.reverse();
                }
                assert_eq!(kept, staying, "pages of {size}, reverse {reverse}");
                passes += 1;
            }
        }
        passes
    };
    let ((), passes) = tokio::join!(write, read);
    assert_eq!(passes, 54);
}

async fn pass(app: &TestApp, by: &str, mut request: Value) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let page = app.call(by, LISTS[0], request.clone()).await.ok();
        for token in page["tokens"].as_array().into_iter().flatten() {
            seen.push(token["id"].as_str().unwrap().to_owned());
        }
        match page.get("nextPageToken") {
            Some(next) => request["pageToken"] = next.clone(),
            None => return seen,
        }
    }
}
