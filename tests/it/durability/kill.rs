//! The process is killed at random times while several clients write. Only the last uses of the last minute, which are
//! kept in memory, may be lost.

use std::{
    path::Path,
    process::Output,
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rusqlite::Connection;

use super::{
    client::{Client, id_of},
    recorder::{Knob, Recorder},
    recovered::{State, compare},
    report,
    server::{PASSWORD, Server, database, hallpass},
    tracked_server::TrackedServer,
};

const WRITERS: usize = 4;
const ROUNDS: u64 = 50;
/// How long a user may notice a crash.
const MAX_RESTART_TIME: Duration = Duration::from_secs(2);

/// A token whose creation was acknowledged.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    state: State,
}

/// Creates and deletes tokens until the server is gone. Also deletes the given tokens of earlier rounds.
fn write(server: &Server, admin: &str, mut tokens: Vec<Token>, seed: u64) -> Vec<Token> {
    let mut dice = StdRng::seed_from_u64(seed);
    let Ok(mut client) = Client::connect(server.address) else {
        return tokens;
    };
    loop {
        let chosen = match tokens.len() {
            0 => None,
            len => Some(dice.random_range(0..len)).filter(|_| dice.random_bool(0.45)),
        };
        match chosen {
            Some(at) if tokens[at].state == State::Live => {
                tokens[at].state = State::Either;
                match client.delete(admin, &id_of(&tokens[at].text)) {
                    Ok(reply) => assert_eq!(reply.outcome(), "ok"),
                    Err(_) => return tokens,
                }
                tokens[at].state = State::Deleted;
            }
            _ => match client.create(admin, "kill") {
                Ok(reply) => tokens.push(Token {
                    text: reply.text("token"),
                    state: State::Live,
                }),
                Err(_) => return tokens,
            },
        }
    }
}

/// Checks that each token is as acknowledged; where both outcomes are allowed, the first observed one must stay.
fn check(server: &Server, tokens: &mut [Token]) {
    let mut client = Client::connect(server.address).unwrap();
    for token in tokens {
        let outcome = client.check(&token.text).unwrap().outcome();
        let expected = match (token.state, outcome.as_str()) {
            (State::Either, "ok") => State::Live,
            (State::Either, _) => State::Deleted,
            (state, _) => state,
        };
        token.state = expected;
        match expected {
            State::Live => assert_eq!(outcome, "ok", "an acknowledged creation is lost"),
            _ => assert_eq!(
                outcome, "unauthenticated TOKEN_DELETED",
                "a deletion is undone"
            ),
        }
    }
}

/// Verifies the audit log from the noted head, and returns the new head.
fn verify_audit(folder: &Path, noted: Option<&str>) -> String {
    let mut command = hallpass(folder, &["audit", "verify", "--json"]);
    if let Some(noted) = noted {
        command.args(["--head", noted]);
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let verdict: serde_json::Value = serde_json::from_slice(&stdout).unwrap();
    verdict["head"].as_str().expect("a head").to_owned()
}

/// Whether it started in time; on a busy machine, compared with a start that has nothing to recover.
fn is_quick(server: &Server) -> bool {
    server.started_in <= MAX_RESTART_TIME || {
        let empty = tempfile::tempdir().unwrap();
        server.started_in <= 2 * Server::start(empty.path()).started_in
    }
}

#[test]
fn kill_9_loses_nothing_acknowledged_and_the_server_is_back_within_2_s() {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = StdRng::seed_from_u64(9);
    let mut server = Server::start(folder.path());
    let mut client = Client::connect(server.address).unwrap();
    let admin = client.sign_in(PASSWORD).unwrap().text("token");
    let mut slices: Vec<Vec<Token>> = vec![Vec::new(); WRITERS];
    let (mut head, mut slowest) = (None, Duration::ZERO);
    for round in 0..ROUNDS {
        let moment = Duration::from_micros(dice.random_range(1_000..150_000));
        slices = thread::scope(|scope| {
            let (served, admin) = (&server, &admin);
            let writers: Vec<_> = (round * 10..)
                .zip(slices)
                .map(|(seed, tokens)| scope.spawn(move || write(served, admin, tokens, seed)))
                .collect();
            // A random time is wanted here, not an event.
            thread::sleep(moment);
            server.signal_kill();
            writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .collect()
        });
        server.kill();
        server = Server::start(folder.path());
        slowest = slowest.max(server.started_in);
        assert!(is_quick(&server), "{:?}", server.started_in);
        for tokens in &mut slices {
            // Some of the earlier rounds' tokens; the final comparison covers all.
            let old = tokens.len().saturating_sub(60);
            check(&server, &mut tokens[old..]);
            for token in &mut tokens[..old] {
                if token.state == State::Either {
                    check(&server, std::slice::from_mut(token));
                }
            }
        }
        head = Some(verify_audit(folder.path(), head.as_deref()));
    }
    let tokens: Vec<_> = slices
        .iter()
        .flatten()
        .map(|token| (token.text.as_str(), token.state))
        .collect();
    let losses = compare(folder.path(), &tokens).unwrap();
    let deleted = tokens
        .iter()
        .filter(|(_, state)| *state == State::Deleted)
        .count();
    report(&format!(
        "kill -9: {ROUNDS} rounds, {} creates and {deleted} deletes, {losses:?}, slowest restart {slowest:?}",
        tokens.len()
    ));
    assert!(deleted > 100, "too few deletions to prove anything");
    assert_eq!(losses.sum(), 0, "{losses:?}");
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn kill_9_loses_the_last_uses_of_the_last_minute_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(None);
    let mut tracked = TrackedServer::start(recorder.serve(folder.path()));
    let mut client = tracked.client();
    let admin = tracked.admin.clone();
    let mut token = |note: &str| client.create(&admin, note).unwrap().text("token");
    let (early, late) = (token("early"), token("late"));
    let sql = Connection::open(database(folder.path())).unwrap();
    let last_use = |token: &str| -> Option<i64> {
        let select = "SELECT last_use_time FROM tokens WHERE id = ?1";
        sql.query_one(select, [id_of(token)], |row| row.get(0))
            .unwrap()
    };

    assert_eq!(client.check(&early).unwrap().outcome(), "ok");
    recorder.set(Knob::ClockOffsetSecs, 60);
    let minute_over = Instant::now();
    while last_use(&early).is_none() {
        let waited = minute_over.elapsed();
        assert!(waited < Duration::from_secs(10), "{}", tracked.server.log());
        thread::sleep(Duration::from_millis(20));
    }
    let written = last_use(&early);
    assert_eq!(client.check(&late).unwrap().outcome(), "ok");
    assert_eq!(client.check(&early).unwrap().outcome(), "ok");
    tracked.server.kill();
    assert_eq!(last_use(&early), written);
    // The control: the last uses were not yet written.
    assert_eq!(last_use(&late), None);
    // No other process may have the file open at a start.
    drop(sql);
    tracked.server = Server::start(folder.path());
    tracked.finish(folder.path());
}
