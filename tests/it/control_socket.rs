//! The caller `local`: whoever may connect to the control socket needs no token, and forwarded requests are
//! refused.

use std::collections::BTreeSet;

use bytes::Bytes;
use hallpass::server::{
    self,
    endpoints::{self, Credentials, PROCEDURES},
};
use http::{HeaderMap, HeaderValue, Request};
use rustix::process::getuid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::{
    client::{
        Call, HttpResponse, Procedure, Protocol, Reply, UnixClient, Wire, send_over, wrap_frame,
    },
    envoy,
    mutations::contents,
    test_app::{Machine, NewToken, Person, TestApp},
};

/// A server with a control socket.
struct LocalServer {
    app: TestApp,
    socket: UnixClient,
    /// The folder of the socket.
    _folder: TempDir,
}

/// The user and tokens that requests name.
struct Targets {
    alice: Person,
    robot: Machine,
    robots_name: String,
    token: NewToken,
}

impl LocalServer {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("control.sock");
        let app = TestApp::start_with(|settings| {
            settings.server.control_socket = Some(path.clone());
        });
        Self {
            app: app.await,
            socket: UnixClient(path),
            _folder: folder,
        }
    }

    async fn targets(&self, number: usize) -> Targets {
        let alice = self.app.person(&format!("alice-{number}")).await;
        let robots_name = format!("robot-{number}");
        let robot = self.app.machine(&alice, &robots_name).await;
        let token = json!({ "userId": robot.id });
        Targets {
            token: self.app.sign_in(&alice, token).await,
            robots_name,
            alice,
            robot,
        }
    }

    /// The audit rows after `since`: actor, action, credential and address.
    fn rows(&self, since: i64) -> Vec<[String; 4]> {
        let sql = self.app.sql();
        let rows = "SELECT actor, action, credential_id, ip FROM audit WHERE sequence > ?1";
        let mut rows = sql.prepare(rows).unwrap();
        let rows = rows.query_map([since], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}

/// A valid request for the procedure.
fn message(procedure: &Procedure, targets: &Targets, admin: &str) -> Value {
    let (robot, token) = (&targets.robot.id, &targets.token);
    let path = procedure.path();
    let more = match path.rsplit_once('/').unwrap().1 {
        "CreateUser" => json!({
            "username": format!("another-{}", targets.robots_name),
            "userType": "USER_TYPE_MACHINE",
            "ownerId": targets.alice.id,
        }),
        "UpdateToken" => json!({ "note": "seen" }),
        "VerifyToken" => json!({ "token": token.text }),
        "CreateToken" => json!({ "username": "" }),
        "UpdateUserServerRole" => json!({ "serverRole": 1 }),
        "UpdateUserSettings" => json!({ "description": "seen" }),
        "SetOwner" => json!({ "ownerId": admin }),
        "SetPassword" => {
            json!({ "userId": targets.alice.id, "newPassword": "a password that is long enough" })
        }
        "RevokeTokens" => json!({ "filter": { "userId": robot } }),
        "RevokeLeakedTokens" => json!({ "tokens": [token.as_leaked()] }),
        "Check" => envoy::check(envoy::bearer(&token.text), "::1", None),
        _ => json!({}),
    };
    let mut message = procedure.naming(robot, &targets.robots_name, &token.id);
    if let (Some(message), Value::Object(more)) = (message.as_object_mut(), more) {
        message.extend(more);
    }
    message
}

/// Every procedure over every wire that can carry it.
fn all_calls() -> impl Iterator<Item = (Procedure, &'static str, Wire)> {
    let procedures = PROCEDURES.iter();
    let procedures = procedures.filter(|line| line.credentials != Credentials::Public);
    let procedures = procedures.map(|line| &line.path[1..]);
    procedures.flat_map(|name| {
        let procedure = Procedure::find(name);
        let wires = Wire::ALL.into_iter();
        let takes_get = procedure.takes_get();
        let wires = wires.filter(move |wire| takes_get || !wire.is_get());
        wires.map(move |wire| (procedure.clone(), name, wire))
    })
}

fn is_about_oneself(name: &str) -> bool {
    name == "buf.registry.owner.v1.UserService/GetCurrentUser"
}

#[tokio::test]
async fn every_procedure_is_served_without_a_token_and_recorded_as_local() {
    let local = LocalServer::start().await;
    let uid = getuid().as_raw();
    let mut unrecorded = BTreeSet::new();
    for (number, (procedure, name, wire)) in all_calls().enumerate() {
        let targets = local.targets(number).await;
        let message = message(&procedure, &targets, &local.app.admin.id);
        let before = local.app.audit_len();
        let call = Call::new(name, message);
        // The control: over the network the same request needs a token.
        let line = PROCEDURES.iter().find(|line| line.path[1..] == *name);
        let asks_none = [Credentials::HolderInMessage, Credentials::OptionalToken];
        if !asks_none.contains(&line.unwrap().credentials) {
            let answer = local.app.client.call(wire, call.clone()).await;
            answer.refused("unauthenticated", "CREDENTIALS_MISSING");
            assert_eq!(local.app.audit_len(), before);
        }
        let answer = local.socket.call(wire, call).await;
        if is_about_oneself(name) {
            let failure = answer.refused("failed_precondition", "WRONG_USER_TYPE");
            assert!(failure.message.contains("local"), "{failure:?}");
        } else if name.ends_with("/UndoRotation") {
            // The token was not created by a rotation.
            answer.refused("failed_precondition", "ROTATION_FINAL");
        } else {
            assert!(
                answer.result.is_ok(),
                "{name} {wire:?}: {:?}",
                answer.result
            );
        }
        let rows = local.rows(before);
        if rows.is_empty() {
            unrecorded.insert(name.rsplit_once('/').unwrap().1);
        }
        for [actor, action, credential, ip] in rows {
            let actor = (&*actor, &*credential, &*ip);
            assert_eq!(actor, (&*format!("local:{uid}"), "", ""), "{name} {action}");
        }
    }
    let expected = [
        "Check",
        "CountUsers",
        "GetCurrentUser",
        "GetServerStatus",
        "LookUpUser",
        // An active user cannot be reactivated.
        "ReactivateUser",
        "UndoRotation",
        "VerifyToken",
    ];
    assert_eq!(unrecorded, expected.into());
}

/// gRPC's status for unknown procedures.
const UNIMPLEMENTED: &str = "12";

/// Header fields of forwarded requests.
const FORWARDING_FIELDS: [(&str, &str); 11] = [
    ("authorization", "Bearer x"),
    ("cookie", "a=b"),
    ("origin", "http://localhost"),
    ("forwarded", "for=192.0.2.1"),
    ("via", "1.1 proxy"),
    ("proxy-authorization", "Basic eDp5"),
    ("x-real-ip", "192.0.2.1"),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-host", "example.com"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-of-tomorrow", ""),
];

fn assert_is_turned_away(answer: Reply, name: &str) {
    let failure = answer.refused("permission_denied", "PERMISSION_DENIED");
    assert!(failure.message.contains(name), "{failure:?}");
}

#[tokio::test]
async fn forwarded_requests_are_refused_in_every_procedure_and_protocol() {
    let local = LocalServer::start().await;
    let targets = local.targets(0).await;
    let (before, rows) = (contents(&local.app), local.app.audit_len());
    let admin = format!("Bearer {}", local.app.admin.token);
    for (procedure, name, wire) in all_calls() {
        let message = message(&procedure, &targets, &local.app.admin.id);
        for (field, value) in FORWARDING_FIELDS
            .into_iter()
            .chain([("authorization", &*admin)])
        {
            let call = Call::new(name, message.clone()).header(field, value);
            let answer = local.socket.call(wire, call).await;
            assert_is_turned_away(answer, field);
        }
    }
    assert_eq!(
        (contents(&local.app), local.app.audit_len()),
        (before, rows)
    );
    // The control: unrelated fields.
    for (field, value) in [
        ("user-agent", "it/1"),
        ("x-request-id", "build-42"),
        ("accept", "*/*"),
    ] {
        let call = Call::new("UserService/ListUsers", json!({})).header(field, value);
        local.socket.call(Wire::CURL, call).await.ok();
    }
}

fn ask(method: &str, path: &str, content_type: &str, body: Bytes) -> Request<Bytes> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", content_type);
    request.body(body).unwrap()
}

#[tokio::test]
async fn control_socket_serves_no_pages_and_no_endpoints_for_proxies_or_probes() {
    let local = LocalServer::start().await;
    let below = ["/forward-auth/x", "/oauth2/token", "/metrics"];
    let form = "application/x-www-form-urlencoded";
    for path in endpoints::WEB.iter().map(|line| line.path).chain(below) {
        for method in ["GET", "POST", "PUT"] {
            let request = ask(method, path, form, Bytes::new());
            let there = local.socket.send(request.clone(), HeaderMap::new(), false);
            assert_eq!(there.await.head.status, 404, "{method} {path}");
            // The control.
            if !["/oauth2/token", "/metrics"].contains(&path) {
                let here = local.app.client.send(request, HeaderMap::new(), false);
                assert_ne!(here.await.head.status, 404, "{method} {path}");
            }
        }
    }
    let status = |reply: &HttpResponse| {
        let status = reply.trailers.get("grpc-status");
        let status = status.or(reply.head.headers.get("grpc-status"));
        status.unwrap().to_str().unwrap().to_owned()
    };
    let public = PROCEDURES.iter();
    let public = public.filter(|line| line.credentials == Credentials::Public);
    for line in endpoints::GRPC.iter().chain(public) {
        let request = ask("POST", line.path, "application/grpc", wrap_frame(0, b""));
        let there = local.socket.send(request.clone(), HeaderMap::new(), true);
        assert_eq!(status(&there.await), UNIMPLEMENTED, "{}", line.path);
        // The control; a watch never ends.
        if !line.path.ends_with("/Watch") {
            let here = local.app.client.send(request, HeaderMap::new(), true);
            assert_ne!(status(&here.await), UNIMPLEMENTED, "{}", line.path);
        }
    }
}

#[tokio::test]
async fn embedded_pipe_is_served_like_the_socket() {
    let app = TestApp::start().await;
    let procedure = Procedure::find("UserService/GetUser");
    let wires = Wire::ALL.into_iter().filter(|wire| !wire.is_get());
    for wire in wires {
        for foreign in [None, Some("x-forwarded-for")] {
            let before = app.audit_len();
            let (_stop, stopped) = oneshot::channel::<()>();
            let (pipe, server) = server::embedded(app.app.clone(), 4_711, async {
                let _ = stopped.await;
            });
            tokio::spawn(server);
            let request = wire.request(&procedure, &json!({ "id": app.admin.id }));
            let mut headers = HeaderMap::new();
            if let Some(name) = foreign {
                headers.insert(name, HeaderValue::from_static("::1"));
            }
            let http2 = wire.protocol == Protocol::Grpc;
            let reply = send_over(pipe, request, headers, http2).await;
            let answer = wire.answer(&procedure, reply);
            match foreign {
                Some(name) => assert_is_turned_away(answer, name),
                None => assert_eq!(answer.ok()["user"]["username"], "admin"),
            }
            let actor = "SELECT actor FROM audit WHERE sequence > ?1";
            let sql = app.sql();
            let mut rows = sql.prepare(actor).unwrap();
            let rows = rows
                .query_map([before], |row| row.get::<_, String>(0))
                .unwrap();
            let rows: Vec<_> = rows.map(Result::unwrap).collect();
            let expected = match foreign {
                Some(_) => vec![],
                None => vec!["local:4711".to_owned()],
            };
            assert_eq!(rows, expected, "{wire:?}");
        }
    }
}
