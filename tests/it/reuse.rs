//! `--disable-family-on-reuse`: a rotated secret that is used once its grace is over disables its family.

use std::time::Duration;

use hallpass::domain::{
    id::TokenId,
    token_text::{TokenPrefix, TokenText},
};
use http::Method;
use serde_json::json;

use crate::{
    client::{Call, Codec, Protocol, Wire},
    envoy::{bearer, check},
    introspection::basic,
    test_app::{NewToken, Person, TestApp},
};

const CURRENT: &str = "AuthnService/GetCurrentUser";
const TOLERANCE: Duration = Duration::from_mins(1);
const TICK: Duration = Duration::from_micros(1);

async fn start() -> (TestApp, Person) {
    let app = TestApp::start_with(|settings| settings.app.disable_family_on_reuse = true).await;
    let alice = app.person("alice").await;
    (app, alice)
}

pub(crate) async fn rotate(app: &TestApp, by: &Person, id: &str, grace: &str) -> NewToken {
    let message = json!({ "tokenId": id, "gracePeriod": grace });
    let rotated = app.call(&by.token, "TokenService/RotateToken", message);
    NewToken::read(&rotated.await.ok())
}

/// A token that was rotated without a grace period, longer ago than is tolerated, and its successor.
async fn rotated_away(app: &TestApp, alice: &Person) -> (NewToken, NewToken) {
    let old = app.sign_in(alice, json!({})).await;
    let new = rotate(app, alice, &old.id, "0s").await;
    app.clock.advance(TOLERANCE + TICK);
    (old, new)
}

fn rows(app: &TestApp) -> Vec<(String, String, String)> {
    let sql = app.sql();
    let rows = "SELECT actor, credential_id, target FROM audit \
                WHERE action = 'token.disable_on_reuse' ORDER BY sequence";
    let mut rows = sql.prepare(rows).unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

/// Every way in which a request can present its credential.
async fn present(app: &TestApp, way: usize, token: &str) {
    let bearer_text = format!("Bearer {token}");
    let headers = [("authorization", &*bearer_text)];
    let form = [("token", "x")];
    match way {
        0 => {
            let refused = app.call(token, CURRENT, json!({})).await;
            refused.refused("unauthenticated", "TOKEN_DELETED");
        }
        1 => {
            let asked = app.client.ask(Method::GET, "/forward-auth", &headers).await;
            assert_eq!(asked.head.status, 401);
        }
        2 => {
            let message = check(bearer(token), "192.0.2.1", None);
            let call = Call::new("envoy.service.auth.v3.Authorization/Check", message);
            let grpc = Wire::new(Protocol::Grpc, Codec::Proto);
            app.client.call(grpc, call).await.ok();
        }
        3 => {
            let asked = app.client.form("/oauth2/introspect", &headers, &form).await;
            assert_eq!(asked.head.status, 401);
        }
        _ => {
            let basic = basic("ci", token);
            let headers = [("authorization", &*basic)];
            let asked = app.client.form("/oauth2/revoke", &headers, &form).await;
            assert_eq!(asked.head.status, 401);
        }
    }
}

#[tokio::test]
async fn reuse_of_a_rotated_secret_disables_its_family_by_every_way_of_use() {
    let (app, alice) = start().await;
    let bystander = app.sign_in(&alice, json!({})).await;
    for way in 0..5 {
        let (old, new) = rotated_away(&app, &alice).await;
        let child = app.child(&new.text, json!({})).await;
        let before = rows(&app).len();
        present(&app, way, &old.text).await;
        let refused = app.call(&new.text, CURRENT, json!({})).await;
        refused.refused("unauthenticated", "TOKEN_DISABLED");
        let refused = app.call(&child.text, CURRENT, json!({})).await;
        refused.refused("unauthenticated", "PARENT_INVALID");
        let row = ("system".to_owned(), old.id.clone(), new.id.clone());
        assert_eq!(rows(&app)[before..], [row], "{way}");
    }
    assert!(app.accepts(&bystander.text).await && app.accepts(&alice.token).await);
}

/// The controls: uses that do not suggest a theft, or that do not prove knowledge of the secret.
#[tokio::test]
async fn nothing_else_disables_a_family() {
    let (app, alice) = start().await;
    // Within 60 s after the old secret ended, rotated with and without a grace period.
    for grace in ["0s", "90s"] {
        let old = app.sign_in(&alice, json!({})).await;
        let new = rotate(&app, &alice, &old.id, grace).await;
        if grace == "90s" {
            app.clock.advance(Duration::from_secs(90));
        }
        for step in [Duration::ZERO, TOLERANCE / 2, TOLERANCE / 2] {
            app.clock.advance(step);
            assert!(!app.accepts(&old.text).await);
            assert!(app.accepts(&new.text).await, "{grace}");
        }
        // After that.
        app.clock.advance(TICK);
        assert!(!app.accepts(&old.text).await);
        assert!(!app.accepts(&new.text).await, "{grace}");
    }
    let count = rows(&app).len();
    let (old, new) = rotated_away(&app, &alice).await;
    // Another secret with the same ID.
    let id = TokenId::parse(&old.id).unwrap();
    let guess = TokenText::generate(&TokenPrefix::default(), id);
    assert!(!app.accepts(guess.expose()).await);
    // A pasted token in a verification.
    let pasted = json!({ "token": old.text });
    let told = app.call(&app.admin.token, "TokenService/VerifyToken", pasted);
    assert_eq!(told.await.ok()["reason"], "TOKEN_DELETED");
    let hash = old.as_leaked()["plaintextSha256"].clone();
    let asked = json!({ "tokenId": old.id, "plaintextSha256": hash });
    let told = app.call(&alice.token, "TokenService/ExplainToken", asked);
    assert_eq!(told.await.ok()["plaintextMatches"], true);
    let asked = json!({ "tokens": [old.text] });
    let told = app.call(&app.admin.token, "AdminService/RevokeTokens", asked);
    told.await.ok();
    let form = [("token", &*old.text)];
    let admin = format!("Bearer {}", app.admin.token);
    let headers = [("authorization", &*admin)];
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        let reply = app.client.form(path, &headers, &form).await;
        assert_eq!(reply.head.status, 200);
    }
    app.client.form("/oauth2/revoke", &[], &form).await;
    // A deleted or expired token that was never rotated.
    let soon = json!({ "expireTime": app.clock.after(TICK) });
    let (expired, deleted) = (
        app.sign_in(&alice, soon).await,
        app.sign_in(&alice, json!({})).await,
    );
    let message = json!({ "tokenId": deleted.id });
    let done = app.call(&alice.token, "TokenService/DeleteToken", message);
    done.await.ok();
    app.clock.advance(TOLERANCE * 2);
    assert!(!app.accepts(&expired.text).await && !app.accepts(&deleted.text).await);

    assert!(app.accepts(&new.text).await);
    assert_eq!(rows(&app).len(), count);
    // The control of the controls: a real reuse.
    assert!(!app.accepts(&old.text).await);
    assert!(!app.accepts(&new.text).await);
}

#[tokio::test]
async fn reuse_has_no_effect_where_the_setting_is_off() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let (old, new) = rotated_away(&app, &alice).await;
    for way in 0..5 {
        present(&app, way, &old.text).await;
    }
    assert!(app.accepts(&new.text).await);
    assert_eq!(rows(&app), []);
}

#[tokio::test]
async fn reuse_acts_once_and_only_an_admin_enables_the_family() {
    let (app, alice) = start().await;
    let (old, new) = rotated_away(&app, &alice).await;
    assert!(!app.accepts(&old.text).await);
    let enable = json!({ "tokenId": new.id, "disabled": false });
    let enable = async |app: &TestApp, by: &str| {
        app.call(by, "TokenService/UpdateToken", enable.clone())
            .await
    };
    let told = app.call(
        &alice.token,
        "TokenService/GetToken",
        json!({ "tokenId": new.id }),
    );
    assert_eq!(told.await.ok()["token"]["disabledBy"], "DISABLED_BY_REUSE");
    let refused = enable(&app, &alice.token).await;
    let failure = refused.refused("permission_denied", "ADMIN_REQUIRED");
    assert!(failure.message.contains("rotated secret"), "{failure:?}");
    enable(&app, &app.admin.token).await.ok();
    let count = rows(&app).len();

    // After an admin enabled it, further uses of the old secret change nothing, even after a restart.
    let quiet = async |app: &TestApp, token: &NewToken| {
        for _ in 0..2 {
            assert!(!app.accepts(&old.text).await);
        }
        assert!(app.accepts(&token.text).await);
        assert_eq!(rows(app).len(), count);
    };
    quiet(&app, &new).await;
    let app = app.restart().await;
    quiet(&app, &new).await;
    let newer = rotate(&app, &alice, &new.id, "0s").await;
    app.clock.advance(TOLERANCE * 2);
    let app = app.restart().await;
    quiet(&app, &newer).await;
}

#[tokio::test]
async fn token_disabled_by_its_owner_needs_an_admin_after_reuse() {
    let (app, alice) = start().await;
    let (old, new) = rotated_away(&app, &alice).await;
    let update = async |by: &str, disabled: bool| {
        let message = json!({ "tokenId": new.id, "disabled": disabled });
        app.call(by, "TokenService/UpdateToken", message).await
    };
    update(&alice.token, true).await.ok();
    assert!(!app.accepts(&old.text).await);
    let refused = update(&alice.token, false).await;
    refused.refused("permission_denied", "ADMIN_REQUIRED");
    update(&app.admin.token, false).await.ok();
    assert!(app.accepts(&new.text).await);
}
