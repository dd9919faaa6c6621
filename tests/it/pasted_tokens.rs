//! Tokens as people paste them: every procedure that verifies or reports a token ignores white space around it; a
//! credential of a request must be exact.

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Call, Wire},
    introspection::basic,
    test_app::{NewToken, Person, TestApp},
};

/// White space that may surround a token.
const AROUND: [(&str, &str); 14] = [
    (" \t", "\r\n"),
    ("\u{feff}", "\n\n"),
    ("\u{a0}", "\u{3000}"),
    ("\u{200b}", "\u{200b}"),
    ("\"", "\","),
    ("'", "'"),
    ("`", "`"),
    ("\u{201c}", "\u{201d}"),
    ("[\"", "\"]"),
    ("Bearer ", ""),
    ("Authorization: Bearer ", ""),
    ("token=", ""),
    ("HALLPASS_TOKEN=", "\n"),
    ("export HALLPASS_TOKEN=\"", "\";"),
];

fn pasted(token: &str) -> Vec<String> {
    let broken = format!("{}\n{}", &token[..80], &token[80..]);
    let around = AROUND.iter();
    around
        .map(|(before, after)| format!("{before}{token}{after}"))
        .chain([broken])
        .collect()
}

async fn verify(app: &TestApp, text: &str) -> Value {
    let message = json!({ "token": text });
    let answer = app.call(&app.admin.token, "TokenService/VerifyToken", message);
    answer.await.ok()
}

async fn rotate(app: &TestApp, by: &Person, id: &str) -> NewToken {
    let message = json!({ "tokenId": id, "gracePeriod": "60s" });
    let rotated = app.call(&by.token, "TokenService/RotateToken", message);
    NewToken::read(&rotated.await.ok())
}

#[tokio::test]
async fn verification_and_introspection_ignore_pasted_whitespace() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bearer = format!("Bearer {}", app.admin.token);
    let headers = [("authorization", &*bearer)];
    for text in pasted(&alice.token) {
        assert_eq!(verify(&app, &text).await["valid"], true, "{text:?}");
        let form = [("token", &*text)];
        let reply = app.client.form("/oauth2/introspect", &headers, &form).await;
        assert_eq!(reply.json()["active"], true, "{text:?}");
    }
    for bad in [
        format!("{0} {1}", alice.token, app.admin.token),
        format!("x{}", alice.token),
        format!("{}x", alice.token),
        alice.token[..80].to_owned(),
    ] {
        assert_eq!(verify(&app, &bad).await["reason"], "CREDENTIALS_INVALID");
    }
}

#[tokio::test]
async fn revocations_ignore_pasted_whitespace_and_report_each_outcome() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for at in 0..=AROUND.len() {
        let token = app.sign_in(&alice, json!({})).await;
        let text = pasted(&token.text).swap_remove(at);
        let form = [("token", &*text)];
        let reply = app.client.form("/oauth2/revoke", &[], &form).await;
        assert_eq!(reply.head.status, 200);
        assert!(!app.accepts(&token.text).await, "{text:?}");

        let token = app.sign_in(&alice, json!({})).await;
        let text = pasted(&token.text).swap_remove(at);
        let message = json!({ "tokens": [text, format!("\"{}\",", token.id)] });
        let done = app.call(&app.admin.token, "AdminService/RevokeTokens", message);
        let done = done.await.ok();
        let revoked = "REVOCATION_OUTCOME_REVOKED";
        assert_eq!(done["outcomes"], json!([revoked, revoked]), "{text:?}");
        assert_eq!(done["tokenIds"], json!([token.id, token.id]));
        assert_eq!(done["tokenCount"], 1);
        assert!(!app.accepts(&token.text).await);
    }
}

/// The control: a header must hold exactly the token.
#[tokio::test]
async fn credential_of_a_request_is_read_strictly() {
    let app = TestApp::start().await;
    let token = &app.admin.token;
    for text in [
        format!("\"{token}\""),
        format!("{token},"),
        format!("Bearer {token}"),
        format!("token={token}"),
        format!("'{token}'"),
    ] {
        let call = Call::new("AuthnService/GetCurrentUser", json!({})).bearer(&text);
        let answer = app.client.call(Wire::CURL, call).await;
        answer.refused("unauthenticated", "CREDENTIALS_INVALID");
        for authorization in [format!("Bearer {text}"), basic("ci", &text)] {
            let headers = [("authorization", &*authorization)];
            let asked = app.client.ask(Method::GET, "/forward-auth", &headers);
            assert_eq!(asked.await.head.status, 401, "{text}");
            let form = [("token", &**token)];
            let asked = app.client.form("/oauth2/introspect", &headers, &form);
            assert_eq!(asked.await.head.status, 401, "{text}");
        }
    }
}

/// A way of reporting a plaintext.
#[derive(Clone, Copy, Debug)]
enum Report {
    Bulk,
    Leak,
    OAuth,
}

async fn report(app: &TestApp, by: &str, how: Report, token: &NewToken) {
    match how {
        Report::Bulk => {
            let message = json!({ "tokens": [token.text] });
            let done = app.call(by, "AdminService/RevokeTokens", message);
            let done = done.await.ok();
            assert_eq!(done["tokenCount"], 1);
            assert_eq!(done["familyCount"], 1);
            assert_eq!(done["childCount"], 2);
        }
        Report::Leak => {
            let message = json!({ "tokens": [token.as_leaked()] });
            let done = app.call(by, "AdminService/RevokeLeakedTokens", message);
            done.await.ok();
        }
        Report::OAuth => {
            let bearer = format!("Bearer {by}");
            let headers = [("authorization", &*bearer)];
            let form = [("token", &*token.text)];
            let reply = app.client.form("/oauth2/revoke", &headers, &form).await;
            assert_eq!(reply.head.status, 200);
        }
    }
}

#[tokio::test]
async fn leak_reported_by_an_admin_ends_the_family_through_every_procedure() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for how in [Report::Bulk, Report::Leak, Report::OAuth] {
        let first = app.sign_in(&alice, json!({})).await;
        let second = rotate(&app, &alice, &first.id).await;
        let soon = app.clock.after(std::time::Duration::from_secs(30));
        let children = [
            // The first is still within its grace period.
            app.child(&first.text, json!({ "expireTime": soon })).await,
            app.child(&second.text, json!({})).await,
        ];
        let before = app.audit_len();
        report(&app, &app.admin.token, how, &first).await;
        for token in [&first, &second].into_iter().chain(&children) {
            assert!(!app.accepts(&token.text).await, "{how:?}");
        }
        let sql = app.sql();
        let rows = "SELECT count(*) FROM audit WHERE sequence > ?1 AND actor = ?2 AND action = ?3";
        let action = match how {
            Report::Bulk => "token.revoke",
            Report::Leak | Report::OAuth => "token.revoke_leaked",
        };
        let row = (before, &app.admin.id, action);
        let rows = sql.query_one(rows, row, |row| row.get::<_, i64>(0));
        assert_eq!(rows.unwrap(), 4, "{how:?}: one row per token");
    }
    assert!(app.accepts(&alice.token).await && app.accepts(&app.admin.token).await);
}

#[tokio::test]
async fn family_survives_a_revocation_by_holder_member_or_id() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let scopes = json!({ "scopes": ["hallpass:tokens:write"] });
    let scoped = app.child(&app.admin.token, scopes).await;
    for caller in ["", &alice.token, &bob.token, &scoped.text] {
        let first = app.sign_in(&alice, json!({})).await;
        let second = rotate(&app, &alice, &first.id).await;
        let bearer = format!("Bearer {caller}");
        let headers = [("authorization", &*bearer)];
        let headers = if caller.is_empty() { &[][..] } else { &headers };
        let form = [("token", &*first.text)];
        let reply = app.client.form("/oauth2/revoke", headers, &form).await;
        assert_eq!(reply.head.status, 200);
        assert!(!app.accepts(&first.text).await);
        assert!(app.accepts(&second.text).await, "{caller}");
    }
    let first = app.sign_in(&alice, json!({})).await;
    let second = rotate(&app, &alice, &first.id).await;
    let message = json!({ "tokens": [first.id] });
    let done = app.call(&app.admin.token, "AdminService/RevokeTokens", message);
    assert_eq!(done.await.ok().get("familyCount"), None);
    assert!(!app.accepts(&first.text).await && app.accepts(&second.text).await);
    // An ended token was most likely rotated because of the leak.
    report_dead(&app, &first).await;
    assert!(app.accepts(&second.text).await);
}

async fn report_dead(app: &TestApp, dead: &NewToken) {
    let message = json!({ "tokens": [dead.text] });
    let done = app.call(&app.admin.token, "AdminService/RevokeTokens", message);
    let told = done.await.ok();
    assert_eq!(told["outcomes"], json!(["REVOCATION_OUTCOME_NOT_LIVE"]));
    let bearer = format!("Bearer {}", app.admin.token);
    let headers = [("authorization", &*bearer)];
    let form = [("token", &*dead.text)];
    app.client.form("/oauth2/revoke", &headers, &form).await;
}

#[tokio::test]
async fn reporting_the_predecessor_of_ones_own_token_locks_nobody_out() {
    let app = TestApp::start().await;
    for how in ["bulk", "oauth"] {
        let first = app.sign_in(&app.admin, json!({})).await;
        let own = rotate(&app, &app.admin, &first.id).await;
        let bearer = format!("Bearer {}", own.text);
        let headers = [("authorization", &*bearer)];
        let revoke = async |text: &str| {
            if how == "oauth" {
                let form = [("token", text)];
                app.client.form("/oauth2/revoke", &headers, &form).await;
                return;
            }
            let message = json!({ "tokens": [text] });
            let done = app.call(&own.text, "AdminService/RevokeTokens", message);
            assert_eq!(done.await.ok()["sparedOwn"], true);
        };
        revoke(&first.text).await;
        assert!(!app.accepts(&first.text).await);
        assert!(app.accepts(&own.text).await, "{how}");
        revoke(&own.text).await;
        assert_eq!(
            app.accepts(&own.text).await,
            how == "bulk",
            "a bulk revocation spares it"
        );
    }
}

#[tokio::test]
async fn caller_of_a_revocation_is_the_actor() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    for (caller, user) in [(&bob.token, &bob.id), (&app.admin.token, &app.admin.id)] {
        let token = app.sign_in(&alice, json!({})).await;
        let before = app.audit_len();
        let bearer = format!("Bearer {caller}");
        let headers = [("authorization", &*bearer)];
        let form = [("token", &*token.text)];
        app.client.form("/oauth2/revoke", &headers, &form).await;
        let sql = app.sql();
        let row = "SELECT actor, credential_id FROM audit WHERE sequence > ?1 AND target = ?2";
        let row = sql.query_one(row, (before, &token.id), |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        });
        let credential = caller.split('_').nth(1).unwrap().to_owned();
        assert_eq!(row.unwrap(), (user.clone(), credential));
    }
}

#[tokio::test]
async fn maximum_number_of_plaintexts_fits_one_request_body() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    // As long as a token with the longest prefix.
    let long = format!("sixteen0long0pre{}", &token.text["hallpass".len()..]);
    let mut tokens = vec![long; 999];
    tokens.push(token.text.clone());
    let message = json!({ "tokens": tokens });
    let done = app.call(&app.admin.token, "AdminService/RevokeTokens", message);
    assert_eq!(
        done.await.ok()["outcomes"][999],
        "REVOCATION_OUTCOME_REVOKED"
    );
    let message = json!({ "tokens": vec![&*token.id; 1_001] });
    let refused = app.call(&app.admin.token, "AdminService/RevokeTokens", message);
    let failure = refused.await.invalid_field("tokens");
    assert!(failure.message.contains("at most 1000"), "{failure:?}");
    // The control: other messages have a smaller limit.
    let long = json!({ "token": "x".repeat(70_000) });
    let refused = app.call(&app.admin.token, "TokenService/VerifyToken", long);
    refused
        .await
        .refused("resource_exhausted", "REQUEST_TOO_LARGE");
}

/// A field that is given a plaintext by mistake is not echoed.
#[tokio::test]
async fn plaintext_given_as_an_id_is_not_echoed() {
    let app = TestApp::start().await;
    let token = &app.admin.token;
    for (procedure, field) in [
        ("TokenService/GetToken", "tokenId"),
        ("TokenService/DeleteToken", "tokenId"),
        ("TokenService/RotateToken", "tokenId"),
        ("TokenService/UndoRotation", "tokenId"),
        ("TokenService/UpdateToken", "tokenId"),
        ("TokenService/ExplainToken", "tokenId"),
        ("TokenService/ListTokens", "userId"),
        ("TokenService/ListTokens", "pageToken"),
        ("TokenService/CreateToken", "userId"),
        ("UserService/GetUser", "id"),
        ("UserService/GetUserByUsername", "username"),
        ("UserService/CreateUser", "username"),
        ("UserService/DeleteUser", "id"),
    ] {
        let answer = app.call(token, procedure, json!({ field: token })).await;
        let refusal = answer.raw_refusal();
        let text = String::from_utf8_lossy(&refusal.2);
        assert!(!text.contains(&token[32..]), "{procedure} {field}: {text}");
    }
    for scopes in [
        json!({ "scopes": [token] }),
        json!({ "allowedCidrs": [token] }),
    ] {
        let answer = app.call(token, "TokenService/CreateToken", scopes).await;
        let refusal = answer.raw_refusal();
        let text = String::from_utf8_lossy(&refusal.2);
        assert!(!text.contains(&token[32..]), "{text}");
    }
    assert!(app.accepts(token).await);
}
