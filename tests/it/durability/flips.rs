//! A byte of the database's file changes.
//!
//! `SQLite` keeps no checksums, so not every change can be detected. Whatever the byte: no crash, no
//! undocumented exit code, nobody authenticated who was not, nothing revealed of another user.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use hallpass::{
    cli::exit_code::ExitCode,
    domain::clock::{Clock as _, SystemClock},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    client::{Client, id_of},
    in_memory,
    recovered::tally,
    report,
    server::{PASSWORD, Server, database, serve},
};

/// A request to each damaged database, and the reply of the undamaged one.
struct Probe {
    procedure: &'static str,
    bearer: String,
    message: Value,
    expected: (String, Value),
}

struct Original {
    bytes: Vec<u8>,
    /// The IDs of all tokens of all users.
    tokens: Vec<String>,
    questions: Vec<Probe>,
}

const FLIPS: u64 = 500;
const THREADS: u64 = 2;

const GET_USER: &str = "AuthnService/GetCurrentUser";
const GET: &str = "TokenService/GetToken";
const LIST: &str = "TokenService/ListTokens";

impl Probe {
    /// Stores the current reply as the expected one.
    fn new(client: &mut Client, procedure: &'static str, bearer: &str, message: Value) -> Self {
        let reply = client.call(procedure, bearer, &message).unwrap();
        Self {
            procedure,
            bearer: bearer.to_owned(),
            message,
            expected: (reply.outcome(), without_uses(&reply.body)),
        }
    }
}

/// Sets up two people and a machine, with live, deleted and expired tokens.
fn original() -> Original {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut client = Client::connect(server.address).unwrap();
    let admin = client.sign_in(PASSWORD).unwrap().text("token");
    let user = json!({ "username": "bob", "password": "another long password" });
    let reply = client
        .call("UserService/CreateUser", &admin, &user)
        .unwrap();
    assert_eq!(reply.outcome(), "ok", "{reply:?}");
    let bob = json!({ "username": "bob", "password": "another long password" });
    let bob = client
        .call("TokenService/CreateToken", "", &bob)
        .unwrap()
        .text("token");
    let (mut live, mut out) = (Vec::new(), Vec::new());
    for number in 0..60 {
        let by = if number % 3 == 0 { &bob } else { &admin };
        let token = client
            .create(by, &format!("note {number}"))
            .unwrap()
            .text("token");
        if number % 2 == 0 {
            assert_eq!(client.delete(by, &id_of(&token)).unwrap().outcome(), "ok");
            out.push(token);
        } else {
            live.push(token);
        }
    }
    let soon = SystemClock.now().plus(Duration::from_secs(3)).to_string();
    for _ in 0..10 {
        let message = json!({ "expireTime": soon });
        let reply = client
            .call("TokenService/CreateToken", &admin, &message)
            .unwrap();
        out.push(reply.text("token"));
    }
    let begun = Instant::now();
    while client.check(out.last().unwrap()).unwrap().status == 200 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        thread::sleep(Duration::from_millis(50));
    }
    let mut ask =
        |procedure, bearer: &str, message| Probe::new(&mut client, procedure, bearer, message);
    let mut questions = Vec::new();
    for token in out.iter().chain(&live[..10]) {
        questions.push(ask(GET_USER, token, json!({})));
    }
    for token in [&live[0], &live[1], &live[4], &out[0], &admin] {
        for asker in [&admin, &bob] {
            questions.push(ask(GET, asker, json!({ "tokenId": id_of(token) })));
        }
    }
    questions.push(ask(LIST, &admin, json!({})));
    questions.push(ask(LIST, &bob, json!({})));
    let tokens = out
        .iter()
        .chain(&live)
        .chain([&admin, &bob])
        .map(|token| id_of(token))
        .collect();
    server.stop();
    let bytes = fs::read(database(folder.path())).unwrap();
    Original {
        bytes,
        tokens,
        questions,
    }
}

/// The worst effect of one flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// All replies are unchanged.
    None,
    /// The server did not start and exited with a documented code.
    Refused,
    /// Some replies were unavailable, the others unchanged.
    Unavailable,
    /// A right was lost: a changed hash is a wrong token.
    Denied,
    /// A field of the caller's own data was returned as changed.
    Altered,
    /// Someone was authenticated wrongly, or got another user's data.
    Wrong,
}

fn effect(original: &Original, folder: &Path) -> (Effect, String) {
    let mut server = match Server::spawn(serve(folder)) {
        Ok(server) => server,
        Err(refused) => {
            let code = refused.status.code().unwrap_or(-1);
            let documented = ExitCode::ALL
                .iter()
                .any(|known| i32::from(known.number()) == code && code != 0);
            assert!(
                documented && !refused.log.contains("panicked"),
                "{refused:?}"
            );
            return (Effect::Refused, format!("exit {code}"));
        }
    };
    let mut client = Client::connect(server.address).unwrap();
    let mut worst = (Effect::None, String::new());
    for question in &original.questions {
        let Probe {
            procedure,
            bearer,
            message,
            expected,
        } = question;
        let reply = client.call(procedure, bearer, message);
        let reply = reply.unwrap_or_else(|error| panic!("{error}: {}", server.log()));
        let found = judge(
            &reply.outcome(),
            &without_uses(&reply.body),
            expected,
            &original.tokens,
        );
        if found > worst.0 {
            worst = (
                found,
                format!(
                    "{procedure} {message}: {} instead of {}: {}",
                    reply.outcome(),
                    expected.0,
                    reply.body
                ),
            );
        }
    }
    // A write succeeds or is reported as unavailable.
    let admin = &original.questions.last().expect("there are probes").bearer;
    let outcome = client.create(admin, "after").unwrap().outcome();
    assert!(
        !outcome.starts_with("internal"),
        "{outcome}: {}",
        server.log()
    );
    assert!(
        server.is_alive() && !server.log().contains("panicked"),
        "{}",
        server.log()
    );
    server.kill();
    worst
}

/// Removes last uses, which the probes themselves change.
fn without_uses(body: &Value) -> Value {
    let mut body = body.clone();
    let mut tokens: Vec<&mut Value> = Vec::new();
    if let Some(fields) = body.as_object_mut() {
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("token", token) => tokens.push(token),
                ("tokens", Value::Array(list)) => tokens.extend(list),
                _ => {}
            }
        }
    }
    for token in tokens {
        if let Some(token) = token.as_object_mut() {
            token.remove("lastUse");
        }
    }
    body
}

fn judge(outcome: &str, body: &Value, expected: &(String, Value), tokens: &[String]) -> Effect {
    match (outcome, expected.0.as_str()) {
        (now, was) if now == was && (now != "ok" || *body == expected.1) => Effect::None,
        ("unavailable STORE_UNAVAILABLE", _) => Effect::Unavailable,
        ("ok", "ok") if only_fields_differ(body, &expected.1, tokens) => Effect::Altered,
        ("ok", _) => Effect::Wrong,
        (now, _) if now.starts_with("internal") => Effect::Wrong,
        _ => Effect::Denied,
    }
}

/// Whether nothing of another token or user appears: at most fields differ (IDs, too, which are in the list's
/// index), or tokens are missing.
fn only_fields_differ(now: &Value, was: &Value, tokens: &[String]) -> bool {
    let ids = |value: &Value| -> Vec<String> {
        let tokens = value["tokens"].as_array().cloned().unwrap_or_default();
        let one = [&value["token"], &value["user"]].map(Clone::clone);
        tokens
            .iter()
            .chain(&one)
            .filter_map(|item| Some(item["id"].as_str()?.to_owned()))
            .collect()
    };
    let was_user = was["user"]["id"].clone();
    let was = ids(was);
    let strange = |id: &String| !was.contains(id);
    now["user"]["id"] == was_user && !ids(now).iter().any(|id| strange(id) && tokens.contains(id))
}

#[test]
fn flipped_byte_authenticates_nobody_and_crashes_nothing() {
    let original = original();
    let run = |thread: u64| {
        let mut dice = StdRng::seed_from_u64(500 + thread);
        let folder = in_memory();
        let mut effects = Vec::new();
        for _ in 0..FLIPS / THREADS {
            let mut bytes = original.bytes.clone();
            let at = dice.random_range(0..bytes.len());
            let mask = dice.random_range(1..=255_u8);
            bytes[at] ^= mask;
            let place = folder.path().join("flipped");
            put(&bytes, &place);
            let (effect, what) = effect(&original, &place);
            effects.push((effect, format!("byte {at} ^ {mask:#04x}: {what:.400}")));
        }
        effects
    };
    let effects: Vec<_> = thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..THREADS)
            .map(|number| scope.spawn(move || run(number)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let mut tallied = BTreeMap::new();
    for (effect, what) in &effects {
        tally(&mut tallied, effect, 1);
        if *effect >= Effect::Denied {
            report(&format!("  {effect:?}: {what:.400}"));
        }
    }
    report(&format!(
        "byte flips in {} bytes: {tallied:?}",
        original.bytes.len()
    ));
    assert_eq!(tallied.get(&Effect::Wrong), None);
    // The flips had more than one kind of effect.
    assert!(tallied.len() >= 3, "{tallied:?}");
    assert_eq!(planted(&original), Effect::Wrong);
}

/// The control: undoes a deletion in the file, as an unlucky flip could.
fn planted(original: &Original) -> Effect {
    let folder = in_memory();
    let place = folder.path().join("planted");
    put(&original.bytes, &place);
    let connection = Connection::open(database(&place)).unwrap();
    let undelete = "UPDATE tokens SET delete_time = NULL WHERE delete_time IS NOT NULL";
    assert!(connection.execute(undelete, ()).unwrap() > 0);
    connection.close().unwrap();
    effect(original, &place).0
}

fn put(bytes: &[u8], folder: &Path) {
    drop(fs::remove_dir_all(folder));
    fs::create_dir(folder).unwrap();
    fs::write(database(folder), bytes).unwrap();
    fs::set_permissions(database(folder), fs::Permissions::from_mode(0o600)).unwrap();
}
