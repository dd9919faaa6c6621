//! The process is killed at random times while several clients write.

use std::{path::Path, process::Output, thread, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    client::{Client, id_of},
    recovered::{State, compare},
    report,
    server::{PASSWORD, Server, hallpass},
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
