//! Servers start, stop, crash and restart while a command waits at its prompt: what the command then reports as
//! done is done, and a command at a prompt never keeps a server from starting.

use std::{fs, time::Duration};

use rustix::process::Signal;
use serde_json::json;

use super::{
    sandbox::{PASSWORD, Sandbox, Serving},
    terminal::Terminal,
};

/// What happens to the server during the prompt.
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

/// Runs `args` on a terminal up to `prompt`, changes the server, and types `answers`. Returns the output.
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
fn scan_revokes_through_whoever_owns_the_database_after_the_prompt() {
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
fn bulk_revocation_goes_through_whoever_owns_the_database_after_the_prompt() {
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
fn password_is_set_through_whoever_owns_the_database_after_the_prompt() {
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

/// These commands have no prompt, so the server starts and stops all the time.
#[test]
fn printed_token_exists_whoever_owned_the_database() {
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
                // Sometimes a command owns the database itself.
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
            // The server crashed during the call. An unprinted token may exist; the message claims no more.
            _ => assert!(ran.stderr.contains("was lost"), "{ran:?}"),
        }
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(servers.join().unwrap() > 2, "no server came and went");
    assert!(shown.len() > 10, "{} of 40", shown.len());
    let server = sandbox.serve(&[]);
    for token in &shown {
        assert!(server.accepts(token), "a printed token was lost");
    }
    server.stop();
    sandbox.print(&["audit", "verify"]);
}
