//! The same requests get the same replies over every wire: one session with successes and errors of every
//! procedure, run once per wire on a new server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    client::{Call, Codec, Procedure, Protocol, Wire, procedures},
    envoy,
    session::{Session, Transcript},
    test_app::{TestApp, leaked},
    tls::Authority,
};

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A message with additional fields.
fn with(message: &Value, fields: Value) -> Value {
    let mut message = message.clone();
    if let (Some(message), Value::Object(fields)) = (message.as_object_mut(), fields) {
        message.extend(fields);
    }
    message
}

async fn play(wire: Wire, tls: Option<&Authority>) -> Transcript {
    let app = TestApp::start_with(|settings| {
        settings.app.max_tokens_per_user = 4;
        settings.server.tls = tls.map(Authority::server);
        settings.tls_client = tls.map(|authority| authority.client(None));
    })
    .await;
    let admin = app.admin.clone();
    let mut session = Session::new(app, wire);
    let own = users(&mut session, &admin.token).await;
    tokens(&mut session, &admin.token, &own).await;
    reads(&mut session, &admin.token, &own).await;
    refusals(&mut session, &admin.token, &own).await;
    session.transcript
}

/// Creates a person and a machine. Returns the person's token.
async fn users(session: &mut Session, admin: &str) -> String {
    let password = "seven drowsy lanterns hum";
    let alice = json!({ "username": "alice", "password": password, "description": "é \u{1F600}" });
    let alice = session.call(admin, "UserService/CreateUser", alice).await;
    let alice = text(&alice["user"]["id"]);
    let sign_in = json!({ "username": "alice", "password": password });
    let own = session.call("", "TokenService/CreateToken", sign_in).await;
    let own = text(&own["token"]);
    let robot = json!({ "username": "robot", "userType": 2 });
    let robot = session.call(&own, "UserService/CreateUser", robot).await;
    let robot = text(&robot["user"]["id"]);
    let new_password = json!({ "oldPassword": password, "newPassword": "another drowsy lantern" });
    let to = |id: &str| json!({ "id": id });
    session
        .calls(
            &own,
            &[
                ("AuthnService/GetCurrentUser", json!({})),
                (
                    "buf.registry.owner.v1.UserService/GetCurrentUser",
                    json!({}),
                ),
                ("UserService/GetUser", to(&robot)),
                ("UserService/GetUser", to("nobody")),
                (
                    "UserService/GetUserByUsername",
                    json!({ "username": "Robot" }),
                ),
                (
                    "UserService/GetUserByUsername",
                    json!({ "username": "admin" }),
                ),
                ("UserService/ListUsers", json!({ "pageSize": 1 })),
                ("UserService/ListUsers", json!({ "pageToken": "x" })),
                ("UserService/CountUsers", json!({ "userStateFilter": 1 })),
                ("UserService/CountUsers", json!({ "userStateFilter": 7 })),
                (
                    "UserService/UpdateUserSettings",
                    json!({ "userId": robot, "description": "b" }),
                ),
                (
                    "UserService/UpdateUserSettings",
                    json!({ "userId": robot, "description": "\n" }),
                ),
                ("UserService/SetPassword", json!({ "newPassword": "short" })),
                ("UserService/SetPassword", new_password),
                (
                    "UserService/UpdateUserServerRole",
                    json!({ "userId": alice, "serverRole": 1 }),
                ),
                (
                    "UserService/CreateUser",
                    json!({ "username": "admin", "userType": 2 }),
                ),
            ],
        )
        .await;
    session
        .calls(
            admin,
            &[
                (
                    "UserService/UpdateUserServerRole",
                    json!({ "userId": robot, "serverRole": 1 }),
                ),
                ("UserService/DeactivateUser", to(&robot)),
                ("UserService/DeactivateUser", to("x")),
                ("UserService/ReactivateUser", to(&robot)),
                ("UserService/ReactivateUser", to("x")),
                (
                    "UserService/SetOwner",
                    json!({ "userId": robot, "ownerId": alice }),
                ),
                (
                    "UserService/SetOwner",
                    json!({ "userId": alice, "ownerId": alice }),
                ),
                ("UserService/DeleteUser", to(&alice)),
                ("UserService/DeleteUser", to(&robot)),
                ("UserService/ListUsers", json!({ "reverse": true })),
            ],
        )
        .await;
    own
}

async fn tokens(session: &mut Session, admin: &str, own: &str) {
    let create = "TokenService/CreateToken";
    let check = "envoy.service.auth.v3.Authorization/Check";
    let made = json!({
        "note": "CI – \u{1F600}",
        "expireTime": "2030-01-01T00:00:00.123456Z",
        "scopes": ["hallpass:tokens:read", "deploy"],
        "allowedCidrs": ["127.0.0.0/8"],
    });
    let made = session.call(own, create, made).await;
    let scoped = text(&made["token"]);
    let id = json!({ "tokenId": made["metadata"]["id"] });
    session.undo_a_rotation(own).await;
    let list = session.call(own, "TokenService/ListTokens", json!({ "pageSize": 1 }));
    let next = text(&list.await["nextPageToken"]);
    session
        .calls(
            own,
            &[
                (
                    "TokenService/ListTokens",
                    json!({ "pageToken": next, "pageSize": 9 }),
                ),
                ("TokenService/ListTokens", json!({ "reverse": true })),
                ("TokenService/ListTokens", json!({ "pageToken": "x" })),
                ("TokenService/ListTokens", json!({ "userId": "x" })),
                ("TokenService/GetToken", id.clone()),
                ("TokenService/GetToken", json!({})),
                ("TokenService/GetToken", json!({ "tokenId": "é" })),
                ("TokenService/VerifyToken", json!({ "token": own })),
                ("TokenService/VerifyToken", json!({ "token": "x" })),
                ("TokenService/VerifyToken", json!({ "clientIp": "x" })),
                (check, envoy::check(envoy::bearer(own), "::1", None)),
                (check, envoy::check(envoy::bearer(own), "::1", Some("A"))),
                ("TokenService/ExplainToken", id.clone()),
                ("TokenService/ExplainToken", json!({ "tokenId": "é" })),
                (
                    "TokenService/UpdateToken",
                    with(
                        &id,
                        json!({ "note": "", "scopes": ["deploy"], "disabled": true }),
                    ),
                ),
                ("TokenService/RotateToken", id.clone()),
                (
                    "TokenService/UpdateToken",
                    with(&id, json!({ "disabled": false })),
                ),
                (
                    "TokenService/UpdateToken",
                    with(&id, json!({ "scopes": ["build"] })),
                ),
                (
                    "TokenService/RotateToken",
                    with(&id, json!({ "gracePeriod": "-1s" })),
                ),
                (create, json!({ "note": "\u{7f}" })),
                (create, json!({ "expireTime": "1970-01-01T00:00:00Z" })),
                (create, json!({ "username": "alice" })),
                (create, json!({})),
                (create, json!({})),
                (create, json!({})),
            ],
        )
        .await;
    session.call(&scoped, create, json!({})).await;
    session
        .call(&scoped, "UserService/ListUsers", json!({}))
        .await;
    let rotate = with(
        &id,
        json!({ "gracePeriod": "60.5s", "expireTime": "2029-01-01T00:00:00Z" }),
    );
    session
        .calls(
            own,
            &[
                ("TokenService/UndoRotation", id.clone()),
                ("TokenService/RotateToken", rotate.clone()),
                ("TokenService/RotateToken", rotate),
                ("TokenService/ExplainToken", id.clone()),
                ("TokenService/DeleteToken", id.clone()),
                ("TokenService/DeleteToken", id),
                ("TokenService/DeleteToken", json!({ "tokenId": "x" })),
            ],
        )
        .await;
    session
        .call(&scoped, "TokenService/ListTokens", json!({}))
        .await;
    admin_of_tokens(session, admin, own, &scoped).await;
    let audit = "AuditService/ListAuditEvents";
    session.call(own, audit, json!({})).await;
    session.call(admin, audit, json!({ "pageSize": 100 })).await;
}

/// Lists all tokens and revokes some.
async fn admin_of_tokens(session: &mut Session, admin: &str, own: &str, dead: &str) {
    let (list, count) = ("AdminService/ListAllTokens", "AdminService/CountAllTokens");
    let revoke = "AdminService/RevokeTokens";
    let first = json!({ "pageSize": 1, "filter": { "neverExpires": true } });
    let first = session.call(admin, list, first).await;
    let next = json!({
        "pageToken": first["nextPageToken"],
        "filter": { "neverExpires": true },
        "pageSize": 2,
    });
    let child = session.call(
        own,
        "TokenService/ListTokens",
        json!({ "reverse": true, "pageSize": 1 }),
    );
    let child = child.await["tokens"][0]["id"].clone();
    let by_id = json!({ "tokens": [child, dead, "é"], "filter": { "unusedSince": "2030-01-01T00:00:00Z" } });
    let mut dry = by_id.clone();
    dry["dryRun"] = true.into();
    session
        .calls(
            admin,
            &[
                (list, next),
                (
                    list,
                    json!({ "reverse": true, "filter": { "state": "TOKEN_STATE_LIVE" } }),
                ),
                (list, json!({ "pageToken": "x" })),
                (list, json!({ "filter": { "state": 9 } })),
                (count, json!({})),
                (count, json!({ "filter": { "userId": "x" } })),
                (revoke, json!({})),
                (revoke, json!({ "filter": { "familyId": "x" } })),
                (revoke, dry),
                (revoke, by_id),
                (revoke, json!({ "filter": { "scope": "none-has-it" } })),
            ],
        )
        .await;
    session.call(own, list, json!({})).await;
    session.call(own, revoke, json!({})).await;
    let leak = "AdminService/RevokeLeakedTokens";
    let made = session.call(admin, "TokenService/CreateToken", json!({}));
    let live = text(&made.await["token"]);
    let mut found = json!({ "tokens": [leaked(dead), leaked(&live)], "dryRun": true });
    session.call(admin, leak, found.clone()).await;
    found["dryRun"] = false.into();
    session.call(admin, leak, found).await;
    session.call(own, leak, json!({})).await;
    session.call(admin, leak, json!({})).await;
}

/// Every procedure that only reads.
async fn reads(session: &mut Session, admin: &str, own: &str) {
    let me = session.call(own, "AuthnService/GetCurrentUser", json!({}));
    let me = text(&me.await["user"]["id"]);
    let listed = session.call(own, "TokenService/ListTokens", json!({}));
    let token = text(&listed.await["tokens"][0]["id"]);
    for procedure in procedures().filter(Procedure::has_no_side_effects) {
        let message = procedure.naming(&me, "alice", &token);
        session.call(admin, &procedure.path()[1..], message).await;
    }
}

/// Refusals: unauthenticated, throttled, the last admin.
async fn refusals(session: &mut Session, admin: &str, own: &str) {
    for procedure in procedures() {
        let path = procedure.path();
        let name = path
            .trim_start_matches("/hallpass.v1.")
            .trim_start_matches('/');
        session.call("", name, json!({})).await;
        session.call(&own[..own.len() - 1], name, json!({})).await;
    }
    for _ in 0..7 {
        let wrong = json!({ "username": "alice", "password": "wrong" });
        session.call("", "TokenService/CreateToken", wrong).await;
    }
    let me = session.call(admin, "AuthnService/GetCurrentUser", json!({}));
    let me = json!({ "id": me.await["user"]["id"] });
    session.call(admin, "UserService/DeactivateUser", me).await;
}

#[tokio::test]
async fn same_requests_get_the_same_replies_over_every_wire() {
    let expected = play(Wire::CURL, None).await;
    let all: BTreeSet<_> = procedures().map(|p| p.path()).collect();
    let seen = |ok: bool| -> BTreeSet<String> {
        let calls = expected.iter().filter(|(_, result)| result.is_ok() == ok);
        calls
            .map(|(name, _)| Procedure::find(name).path())
            .collect()
    };
    assert_eq!(seen(true), all, "each procedure succeeds once");
    assert_eq!(seen(false), all, "and fails once");
    let authority = Authority::new();
    // Over TLS one codec a protocol: it makes no difference there.
    let plain = Wire::ALL.map(|wire| (wire, None)).into_iter();
    let over_tls = plain.clone().step_by(2);
    for (wire, tls) in plain.chain(over_tls.map(|(wire, _)| (wire, Some(&authority)))) {
        let got = play(wire, tls).await;
        assert_eq!(got.len(), expected.len());
        for (number, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let tls = tls.is_some();
            assert_eq!(got, expected, "call {number} over {wire:?}, TLS: {tls}");
        }
    }
}

#[tokio::test]
async fn get_is_only_for_procedures_without_side_effects() {
    let app = TestApp::start().await;
    let bearer = format!("Bearer {}", app.admin.token);
    for procedure in procedures() {
        let path = format!(
            "{}?connect=v1&encoding=json&message=%7B%7D",
            procedure.path()
        );
        let headers = [("authorization", bearer.as_str())];
        let reply = app.client.ask(http::Method::GET, &path, &headers).await;
        if procedure.takes_get() {
            assert_ne!(reply.head.status, 405, "{path}");
        } else {
            assert_eq!(reply.head.status, 405, "{path}");
            assert_eq!(reply.head.headers["allow"], "POST", "{path}");
        }
        let head = app.client.ask(http::Method::HEAD, &path, &headers).await;
        assert_eq!(head.head.status, 405, "{path}");
    }
    let rows = app.audit_len();
    for _ in 0..2 {
        let call = Call::new("TokenService/ListTokens", json!({})).bearer(&app.admin.token);
        let wire = Wire::new(Protocol::ConnectGet, Codec::Proto);
        app.client.call(wire, call).await.ok();
    }
    assert_eq!(app.audit_len(), rows);
}

#[tokio::test]
async fn refused_content_type_lists_the_accepted_ones() {
    let app = TestApp::start().await;
    for procedure in procedures() {
        let post = async |content_type: &str| {
            let request = http::Request::post(procedure.path())
                .header("content-type", content_type)
                .body(bytes::Bytes::new());
            app.client
                .send(request.unwrap(), http::HeaderMap::new(), false)
                .await
        };
        let refusal = post("text/plain").await;
        assert_eq!(refusal.head.status, 415);
        let accepted = refusal.head.headers["accept-post"].to_str().unwrap();
        let accepted: BTreeSet<_> = accepted.split(", ").collect();
        for content_type in [
            "application/json",
            "application/proto",
            "application/connect+json",
            "application/connect+proto",
            "application/grpc-web",
        ] {
            let is_taken = post(content_type).await.head.status != 415;
            let path = procedure.path();
            assert_eq!(
                is_taken,
                accepted.contains(content_type),
                "{content_type} {path}"
            );
        }
    }
}
