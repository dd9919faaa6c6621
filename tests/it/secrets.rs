//! No secret leaks: nothing that a caller keeps secret appears in what the server prints,
//! stores or returns, and timing does not reveal which users exist.

mod requests;
mod scan;
mod timing;

use std::{fs, process::Stdio};

use serde_json::{Value, json};

use crate::{
    cli::sandbox::{Sandbox, Serving},
    client::{Call, Client, Codec, Protocol, Reply, Wire},
    test_app::NewToken,
};

use self::scan::Secrets;

const CREATE: &str = "TokenService/CreateToken";
const SET_PASSWORD: &str = "UserService/SetPassword";

/// The four protocols, the first two by GET, too.
const WIRES: [Wire; 6] = [
    Wire::CURL,
    Wire::new(Protocol::Connect, Codec::Proto),
    Wire::new(Protocol::ConnectGet, Codec::Json),
    Wire::new(Protocol::ConnectGet, Codec::Proto),
    Wire::new(Protocol::Grpc, Codec::Proto),
    Wire::new(Protocol::GrpcWeb, Codec::Proto),
];

/// A server with the most verbose log, and all its responses.
struct Watched {
    sandbox: Sandbox,
    server: Serving,
    client: Client,
    secrets: Secrets,
    /// The refusals so far.
    replies: Vec<u8>,
}

impl Watched {
    fn start(format: &str) -> Self {
        let (sandbox, mut secrets) = (Sandbox::empty(), Secrets::default());
        let password = secrets.password("first-admin");
        fs::write(sandbox.path("password"), &password).unwrap();
        let mut command = sandbox.command(&[
            "serve",
            "--listen=127.0.0.1:0",
            "--log-level=trace",
            "--log-format",
            format,
        ]);
        command
            .env("HALLPASS_ADMIN_PASSWORD_FILE", sandbox.path("password"))
            .env("RUST_BACKTRACE", "full")
            .stdin(Stdio::null());
        let server = sandbox.serve_command(command);
        fs::remove_file(sandbox.path("password")).unwrap();
        let client = Client::new(server.address.parse().unwrap());
        Self {
            sandbox,
            server,
            client,
            secrets,
            replies: Vec::new(),
        }
    }

    async fn call(&mut self, wire: Wire, token: &str, procedure: &str, message: Value) -> Reply {
        let call = Call::new(procedure, message);
        let call = if token.is_empty() {
            call
        } else {
            call.bearer(token)
        };
        let answer = self.client.call(wire, call).await;
        if let Err(failure) = &answer.result {
            self.replies
                .extend(format!("{failure:?} {:?}", answer.headers).bytes());
            self.replies.extend(&answer.body);
        }
        answer
    }

    async fn token(&mut self, wire: Wire, token: &str, message: Value) -> NewToken {
        let answer = self.call(wire, token, CREATE, message).await;
        let token = NewToken::read(&answer.ok());
        self.secrets.token(&token.text);
        token
    }

    /// Signs in and changes passwords over `wire`, with failures, and with notes everywhere.
    async fn use_over(&mut self, wire: Wire, n: usize) {
        let admin = self.secrets.get("first-admin");
        let note = self.secrets.note(&format!("note-{n}"));
        let message = json!({ "username": "admin", "password": admin, "note": note });
        let root = self.token(wire, "", message).await.text;
        let person = format!("person-{n}");
        let password = self.secrets.password(&person);
        let message = json!({ "username": person, "password": password, "description": note });
        self.call(wire, &root, "UserService/CreateUser", message)
            .await
            .ok();
        let message = json!({ "username": person, "password": password });
        let own = self.token(wire, "", message).await;
        let child = self.token(wire, &own.text, json!({ "note": note })).await;
        self.call(
            wire,
            &own.text,
            "TokenService/GetToken",
            json!({ "tokenId": child.id }),
        )
        .await
        .ok();

        let later = self.secrets.note(&format!("later-{n}"));
        let message = json!({ "tokenId": child.id, "note": later });
        self.call(wire, &own.text, "TokenService/UpdateToken", message)
            .await
            .ok();
        let message = json!({ "tokenId": child.id, "gracePeriod": "60s" });
        let rotated = self.call(wire, &own.text, "TokenService/RotateToken", message);
        let rotated = NewToken::read(&rotated.await.ok());
        self.secrets.token(&rotated.text);
        let message = json!({ "tokenId": rotated.id });
        self.call(wire, &own.text, "TokenService/ExplainToken", message)
            .await
            .ok();

        let wrong = self.secrets.password(&format!("wrong-{n}"));
        let stranger = self.secrets.username(n);
        for name in [&person, &stranger] {
            let message = json!({ "username": name, "password": wrong, "note": note });
            let answer = self.call(wire, "", CREATE, message).await;
            answer.refused("unauthenticated", "CREDENTIALS_INVALID");
        }
        let new = self.secrets.password(&format!("new-{n}"));
        let message = json!({ "oldPassword": wrong, "newPassword": new });
        let answer = self.call(wire, &own.text, SET_PASSWORD, message).await;
        answer.refused("permission_denied", "CREDENTIALS_INVALID");
        let message = json!({ "oldPassword": password, "newPassword": new });
        self.call(wire, &own.text, SET_PASSWORD, message).await.ok();
        // Refused fields, whose values might be echoed.
        for message in [
            json!({ "username": person, "password": new, "note": format!("{note}\n") }),
            json!({ "username": person, "password": new, "scopes": [format!("hallpass:{n}")] }),
            json!({ "username": format!("{stranger}!"), "password": new }),
        ] {
            assert!(self.call(wire, "", CREATE, message).await.result.is_err());
        }
        let message = json!({ "oldPassword": new, "newPassword": "short" });
        assert!(
            self.call(wire, &own.text, SET_PASSWORD, message)
                .await
                .result
                .is_err()
        );
        // Reported as leaked: a valid token, a wrong one, and malformed text.
        let pasted = json!({ "tokens": [child.text, self.secrets.unknown_token(), new] });
        self.call(wire, &root, "AdminService/RevokeTokens", pasted)
            .await
            .ok();
        let pasted = json!({ "tokens": [child.text], "pageToken": new });
        let answer = self.call(wire, &root, "AdminService/RevokeTokens", pasted);
        answer.await.invalid_field("page_token");
        let message = json!({ "tokenId": own.id });
        self.call(wire, &own.text, "TokenService/DeleteToken", message)
            .await
            .ok();
        for token in [&own.text, &self.secrets.unknown_token()] {
            let answer = self.call(wire, token, "AuthnService/GetCurrentUser", json!({}));
            assert!(answer.await.result.is_err());
        }
    }

    /// Every place that must not contain a secret, with its contents.
    fn places(self) -> Vec<(&'static str, Vec<u8>)> {
        let pid = self.server.id();
        let read = |name: &str| fs::read(self.sandbox.path(name)).unwrap();
        let mut places = vec![
            ("error replies", self.replies),
            (
                "command line",
                fs::read(format!("/proc/{pid}/cmdline")).unwrap(),
            ),
            (
                "environment",
                // Only root can read it.
                fs::read(format!("/proc/{pid}/environ")).unwrap_or_default(),
            ),
            ("database", read("hallpass.db")),
            ("WAL", read("hallpass.db-wal")),
        ];
        let (_, stdout) = self.server.end(rustix::process::Signal::TERM);
        places.push(("database after the end", read("hallpass.db")));
        places.push(("stdout", stdout.into_bytes()));
        places.push(("stderr", self.sandbox.log().into_bytes()));
        places
    }
}

async fn run(format: &str) {
    let mut watched = Watched::start(format);
    for (n, wire) in WIRES.into_iter().filter(|wire| !wire.is_get()).enumerate() {
        watched.use_over(wire, n).await;
    }
    watched.use_endpoints().await;
    watched.provoke_errors().await;
    let secrets = watched.secrets.clone();
    let places = watched.places();
    let mut trace = None;
    for (place, content) in &places {
        // Notes are stored in the database on purpose.
        let stored = place.contains("database") || *place == "WAL";
        assert_eq!(
            secrets.found_in(content, stored),
            Vec::<String>::new(),
            "{place}"
        );
        // The control: each planted secret is found.
        assert_eq!(secrets.planted_in(content), secrets.len(), "{place}");
        if *place == "stderr" {
            trace = Some(String::from_utf8_lossy(content).into_owned());
        }
    }
    let trace = trace.unwrap();
    assert!(trace.contains("TRACE"), "the log was at level trace");
    assert!(
        trace.contains("something is wrong in the server"),
        "an error was forced"
    );
}

#[tokio::test]
async fn no_secret_is_printed_stored_or_returned() {
    run("text").await;
}

#[tokio::test]
async fn no_secret_is_in_a_json_log() {
    run("json").await;
}

/// A process cannot clear the environment that it was started with, as the kernel shows it to root, in
/// safe Rust: use the variable with `_FILE`. This also shows that the scan covers the environment.
#[test]
fn password_in_a_variable_is_visible_only_to_root() {
    let (sandbox, mut secrets) = (Sandbox::empty(), Secrets::default());
    let password = secrets.password("first-admin");
    let mut command = sandbox.command(&["serve", "--listen=127.0.0.1:0"]);
    command.env("HALLPASS_ADMIN_PASSWORD", password);
    let server = sandbox.serve_command(command);
    let pid = server.id();
    let environment = fs::read(format!("/proc/{pid}/environ"));
    if rustix::process::geteuid().is_root() {
        assert_eq!(secrets.found_in(&environment.unwrap(), false).len(), 1);
    } else {
        assert!(environment.is_err());
    }
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(secrets.found_in(&command_line, false), Vec::<String>::new());
}
