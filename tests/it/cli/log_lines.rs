//! What the access log says of a request, and at which level.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

use super::sandbox::{PASSWORD, Sandbox, Serving};
use crate::test_app::id_of;

/// The status of a request without a client library.
fn get(serving: &Serving, path: &str, token: &str) -> u16 {
    let mut socket = TcpStream::connect(&serving.address).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn introspect(serving: &Serving, caller: &str, token: &str) -> u16 {
    let mut socket = TcpStream::connect(&serving.address).unwrap();
    let body = format!("token={token}");
    let request = format!(
        "POST /oauth2/introspect HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
         Authorization: Bearer {caller}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The access log's lines: level, path, credential, token, user and reason.
fn requests(sandbox: &Sandbox) -> Vec<(String, String, [Value; 4])> {
    let log = sandbox.log();
    let json = log.lines().filter(|line| line.starts_with('{'));
    let records = json.map(|line| serde_json::from_str(line).unwrap());
    let requests = records.filter(|record: &Value| record["message"] == "request");
    requests
        .map(|record| {
            let text = |name: &str| record[name].as_str().unwrap().to_owned();
            let known = ["credential", "token.id", "user.id", "reason"];
            let known = known.map(|name| record[name].clone());
            (text("level"), text("path"), known)
        })
        .collect()
}

/// Typical requests of token holders, unknown callers, probes and people.
fn a_day(sandbox: &Sandbox, which: &[&str]) -> (String, String, String) {
    sandbox.create_person("alice");
    let user = sandbox.json(&["user", "get", "alice"])["user"]["id"].clone();
    let user = user.as_str().unwrap().to_owned();
    let [good, deleted] = [(); 2].map(|()| sandbox.create_token("alice", &[]));
    let serving = sandbox.serve(&[&["--log-format=json"], which].concat());
    let me = "AuthnService/GetCurrentUser";
    let verify = "TokenService/VerifyToken";
    assert_eq!(get(&serving, "/healthz", ""), 200);
    assert_eq!(get(&serving, "/readyz", ""), 200);
    assert_eq!(get(&serving, "/forward-auth", &good), 200);
    assert_eq!(
        serving.call(verify, &good, &json!({ "token": good })).0,
        200
    );
    assert_eq!(introspect(&serving, &good, &good), 200);
    assert_eq!(serving.call(me, &good, &json!({})).0, 200);
    let sign_in = |password: &str| {
        let message = json!({ "username": "alice", "password": password });
        serving.call("TokenService/CreateToken", "", &message).0
    };
    assert_eq!((sign_in(PASSWORD), sign_in("wrong")), (200, 401));
    let delete = json!({ "tokenId": id_of(&deleted) });
    assert_eq!(
        serving.call("TokenService/DeleteToken", &good, &delete).0,
        200
    );
    assert_eq!(get(&serving, "/forward-auth/x", &deleted), 401);
    assert_eq!(serving.call(me, &deleted, &json!({})).0, 401);
    let other = if good.ends_with('x') { 'y' } else { 'x' };
    let wrong = format!("{}{other}", &good[..good.len() - 1]);
    assert_eq!(serving.call(me, &wrong, &json!({})).0, 401);
    assert_eq!(get(&serving, "/forward-auth/y", ""), 401);
    assert_eq!(
        serving.call(verify, &good, &json!({ "token": deleted })).0,
        200
    );
    assert_eq!(introspect(&serving, &good, &deleted), 200);
    let all = "AdminService/ListAllTokens";
    assert_eq!(serving.call(all, &good, &json!({})).0, 403);
    assert_eq!(get(&serving, &format!("/{good}"), ""), 404);
    serving.stop();
    (good, deleted, user)
}

#[test]
fn access_log_names_token_user_credential_kind_and_reason() {
    let sandbox = Sandbox::set_up();
    let (good, deleted, user) = a_day(&sandbox, &["--log-requests=all"]);
    let (good_id, deleted_id) = (id_of(&good), id_of(&deleted));
    let token = |id: &str| [json!("token"), json!(id), json!(user), Value::Null];
    let refused =
        |[credential, id, user, _]: [Value; 4], reason: &str| [credential, id, user, json!(reason)];
    let none = || [Value::Null, Value::Null, Value::Null, Value::Null];
    let only = |kind: &str| [json!(kind), Value::Null, Value::Null, Value::Null];
    let signed_in = [json!("password"), Value::Null, json!(user), Value::Null];
    let rpc = |name: &str| format!("/hallpass.v1.{name}");
    let redacted = format!("/hallpass_{good_id}_[secret]");
    let expected = [
        ("/healthz".to_owned(), none()),
        ("/readyz".to_owned(), none()),
        ("/forward-auth".to_owned(), token(good_id)),
        (rpc("TokenService/VerifyToken"), token(good_id)),
        ("/oauth2/introspect".to_owned(), token(good_id)),
        (rpc("AuthnService/GetCurrentUser"), token(good_id)),
        (rpc("TokenService/CreateToken"), signed_in),
        (
            rpc("TokenService/CreateToken"),
            refused(only("password"), "CREDENTIALS_INVALID"),
        ),
        (rpc("TokenService/DeleteToken"), token(good_id)),
        (
            "/forward-auth/x".to_owned(),
            refused(token(deleted_id), "TOKEN_DELETED"),
        ),
        (
            rpc("AuthnService/GetCurrentUser"),
            refused(token(deleted_id), "TOKEN_DELETED"),
        ),
        (
            rpc("AuthnService/GetCurrentUser"),
            refused(only("token"), "CREDENTIALS_INVALID"),
        ),
        (
            "/forward-auth/y".to_owned(),
            refused(only("token"), "CREDENTIALS_INVALID"),
        ),
        (
            rpc("TokenService/VerifyToken"),
            refused(token(good_id), "TOKEN_DELETED"),
        ),
        (
            "/oauth2/introspect".to_owned(),
            refused(token(good_id), "TOKEN_DELETED"),
        ),
        (
            rpc("AdminService/ListAllTokens"),
            refused(token(good_id), "PERMISSION_DENIED"),
        ),
        (redacted, none()),
    ];
    let found = requests(&sandbox);
    assert!(found.iter().all(|(level, ..)| level == "INFO"));
    let found: Vec<_> = found
        .into_iter()
        .map(|(_, path, known)| (path, known))
        .collect();
    assert_eq!(found, expected);
    let log = sandbox.log();
    for secret in [&good, &deleted] {
        assert!(!log.contains(secret.rsplit('_').next().unwrap()));
    }
}

#[test]
fn successful_probes_and_checks_are_logged_at_debug_unless_all_is_set() {
    for (which, at_info) in [
        (&[][..], 12),
        (&["--log-requests=default"][..], 12),
        (&["--log-requests=all"][..], 17),
        (&["--log-requests=errors"][..], 9),
    ] {
        let sandbox = Sandbox::set_up();
        a_day(&sandbox, which);
        assert_eq!(requests(&sandbox).len(), at_info, "{which:?}");

        // At level debug nothing is missing.
        let sandbox = Sandbox::set_up();
        a_day(&sandbox, &[&["--log-level=hallpass=debug"], which].concat());
        let found = requests(&sandbox);
        assert_eq!(found.len(), 17, "{which:?}");
        let of = |level: &str| found.iter().filter(|(found, ..)| found == level).count();
        assert_eq!((of("INFO"), of("DEBUG")), (at_info, 17 - at_info));
    }
}
