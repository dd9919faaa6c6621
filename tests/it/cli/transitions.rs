//! Servers that start, stop, die and come back while a command is at its prompt: what the command then says is
//! done is done, and no command that waits for a person keeps a server from starting.

use std::{fs, time::Duration};

use rustix::process::Signal;
use serde_json::json;

use super::{
    sandbox::{PASSWORD, Sandbox, Serving},
    terminal::Terminal,
};

/// What happens while the command waits.
#[derive(Clone, Copy, Debug)]
enum ServerChange {
    Started,
    Stopped,
    Killed,
    KilledAndStarted,
}

impl ServerChange {
    const ALL: [Self; 4] = [
        Self::Started,
        Self::Stopped,
        Self::Killed,
        Self::KilledAndStarted,
    ];

    fn before(self, sandbox: &Sandbox) -> Option<Serving> {
        (!matches!(self, Self::Started)).then(|| sandbox.serve(&[]))
    }

    fn happens(self, sandbox: &Sandbox, server: Option<Serving>) -> Option<Serving> {
        match (self, server) {
            (Self::Started, _) => Some(sandbox.serve(&[])),
            (Self::Stopped, Some(server)) => {
                server.stop();
                None
            }
            (Self::Killed | Self::KilledAndStarted, Some(server)) => {
                server.end(Signal::KILL);
                matches!(self, Self::KilledAndStarted).then(|| sandbox.serve(&[]))
            }
            (_, None) => None,
        }
    }
}

/// Runs `args` on a terminal up to `prompt`, lets it happen, and types `answers`: what the command said.
fn run(
    sandbox: &Sandbox,
    meanwhile: ServerChange,
    args: &str,
    dialogue: &[(&str, &str)],
) -> (String, Serving) {
    let server = meanwhile.before(sandbox);
    let mut terminal = Terminal::run(sandbox, args);
    terminal.expect(dialogue[0].0);
    let server = meanwhile.happens(sandbox, server);
    for (prompt, keys) in dialogue {
        terminal.expect(prompt).type_keys(keys);
    }
    let (_, seen) = terminal.end();
    (seen, server.unwrap_or_else(|| sandbox.serve(&[])))
}

fn with_token() -> (Sandbox, String) {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let token = sandbox.create_token("ci-bot", &["--expires=1d"]);
    (sandbox, token)
}

#[test]
#[ignore = "needs script of util-linux"]
fn scan_revokes_where_the_database_is_served_by_then() {
    for meanwhile in ServerChange::ALL {
        let (sandbox, token) = with_token();
        fs::write(sandbox.path("leak"), &token).unwrap();
        let (seen, server) = run(
            &sandbox,
            meanwhile,
            "scan leak --revoke",
            &[("[y/N]", "y\n")],
        );
        assert!(seen.contains(": revoked"), "{meanwhile:?}: {seen}");
        assert!(!server.accepts(&token), "{meanwhile:?}");
    }
}

#[test]
#[ignore = "needs script of util-linux"]
fn bulk_revocation_is_done_where_the_database_is_served_by_then() {
    for meanwhile in ServerChange::ALL {
        let (sandbox, token) = with_token();
        let revoke = "token revoke --user ci-bot";
        let (seen, server) = run(&sandbox, meanwhile, revoke, &[("[y/N]", "y\n")]);
        assert!(seen.contains("revoked 1 token;"), "{meanwhile:?}: {seen}");
        assert!(!server.accepts(&token), "{meanwhile:?}");
    }
}

#[test]
#[ignore = "needs script of util-linux"]
fn a_password_is_set_where_the_database_is_served_by_then() {
    let new = "another maple kettle drum";
    let keys = format!("{new}\n");
    let dialogue = [("New password: ", &*keys), ("Again: ", &*keys)];
    for meanwhile in ServerChange::ALL {
        let sandbox = Sandbox::set_up();
        sandbox.create_person("alice");
        let (seen, server) = run(&sandbox, meanwhile, "user set-password alice", &dialogue);
        assert!(
            seen.contains("set the password of alice"),
            "{meanwhile:?}: {seen}"
        );
        let sign_in = |password: &str| {
            let message = json!({ "username": "alice", "password": password });
            server.call("TokenService/CreateToken", "", &message).0
        };
        assert_eq!(
            (sign_in(new), sign_in(PASSWORD)),
            (200, 401),
            "{meanwhile:?}"
        );
    }
}

/// Nothing asks here, so the server comes and goes all the time.
#[test]
fn a_token_that_was_shown_is_there_whoever_owned_the_database() {
    let (sandbox, _) = with_token();
    let sandbox = std::sync::Arc::new(sandbox);
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let servers = std::thread::spawn({
        let (sandbox, done) = (
            std::sync::Arc::clone(&sandbox),
            std::sync::Arc::clone(&done),
        );
        move || {
            let mut turns = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                let server = sandbox.serve(&[]);
                server.end(if turns % 2 == 0 {
                    Signal::KILL
                } else {
                    Signal::TERM
                });
                // Now and then a command has the database to itself.
                std::thread::sleep(Duration::from_millis(20));
                turns += 1;
            }
            turns
        }
    });
    let mut shown = Vec::new();
    for _ in 0..40 {
        let ran = sandbox.run(&["token", "create", "ci-bot", "--expires=1d"]);
        match ran.code {
            0 => shown.push(ran.stdout.trim().to_owned()),
            // The server died under it. What was not shown may be there, and the message says no more than that.
            _ => assert!(ran.stderr.contains("was lost"), "{ran:?}"),
        }
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(servers.join().unwrap() > 2, "no server came and went");
    assert!(shown.len() > 10, "{} of 40", shown.len());
    let server = sandbox.serve(&[]);
    for token in &shown {
        assert!(server.accepts(token), "a token that was shown is lost");
    }
    server.stop();
    sandbox.print(&["audit", "verify"]);
}
