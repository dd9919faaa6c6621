//! Prompts and output on a terminal. util-linux's `script` provides the terminal.

use std::{
    fs,
    io::{Read, Write},
    process::{Child, Command, Stdio},
};

use rusqlite::Connection;

use super::sandbox::{PASSWORD, Sandbox};

/// A command on its own terminal.
pub(super) struct Terminal {
    child: Child,
    seen: String,
}

impl Terminal {
    pub(super) fn run(sandbox: &Sandbox, args: &str) -> Self {
        Self::run_with(sandbox, args, &[])
    }

    /// The same with environment variables.
    pub(super) fn run_with(sandbox: &Sandbox, args: &str, variables: &[(&str, &str)]) -> Self {
        let command = format!("'{}' {args}", env!("CARGO_BIN_EXE_hallpass"));
        Self::run_any(sandbox, &command, variables)
    }

    /// The same for any program.
    pub(super) fn run_any(sandbox: &Sandbox, command: &str, variables: &[(&str, &str)]) -> Self {
        // `exec`, since a shell in between would replace the exit code.
        let command = format!("exec {command}");
        let child = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .current_dir(sandbox.path(""))
            .env_remove("SHELL")
            // A stored login of the person who runs the tests must not be used.
            .env("HOME", sandbox.path(""))
            .env_remove("XDG_CONFIG_HOME")
            .env("TERM", "xterm")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let seen = String::new();
        Self { child, seen }
    }

    /// Waits until the output contains `text`.
    pub(super) fn expect(&mut self, text: &str) -> &mut Self {
        let stdout = self.child.stdout.as_mut().unwrap();
        while !self.seen.contains(text) {
            let mut bytes = [0; 1_024];
            let len = stdout.read(&mut bytes).unwrap();
            assert_ne!(len, 0, "{text:?} is not in {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..len]));
        }
        self
    }

    pub(super) fn type_keys(&mut self, keys: &str) -> &mut Self {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// Waits for the end; returns the exit code and all output.
    pub(super) fn end(&mut self) -> (i32, String) {
        let stdout = self.child.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut self.seen).unwrap();
        let status = self.child.wait().unwrap();
        (status.code().unwrap(), self.seen.clone())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn first_password_is_shown_on_a_terminal_and_control_c_shuts_down_cleanly() {
    let sandbox = Sandbox::empty();
    let mut terminal = Terminal::run(&sandbox, "serve --listen=127.0.0.1:0");
    terminal.expect("hallpass listening on").type_keys("\x03");
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    let password = fs::read_to_string(sandbox.path("initial-admin-password")).unwrap();
    assert!(
        seen.contains(&format!("password: {}", password.trim())),
        "{seen}"
    );
}

#[test]
fn typed_password_is_asked_for_twice_and_not_echoed() {
    let sandbox = Sandbox::set_up();
    let create = |again: &str| {
        let mut terminal = Terminal::run(&sandbox, "user create alice");
        terminal
            .expect("New password: ")
            .type_keys(&format!("{PASSWORD}\n"));
        terminal.expect("Again: ").type_keys(&format!("{again}\n"));
        terminal.end()
    };
    let (code, seen) = create("another thing entirely");
    assert_eq!(code, 1, "{seen}");
    assert!(seen.contains("differ"), "{seen}");
    let (code, seen) = create(PASSWORD);
    assert_eq!(code, 0, "{seen}");
    sandbox.print(&["user", "get", "alice"]);
}

#[test]
fn destructive_commands_ask_and_default_to_no() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    let delete = |answer: &str| {
        let mut terminal = Terminal::run(&sandbox, "user delete alice");
        terminal.expect("[y/N]").type_keys(answer);
        terminal.end()
    };
    assert_eq!(delete("\n").0, 1);
    sandbox.print(&["user", "get", "alice"]);
    assert_eq!(delete("y\n").0, 0);
    sandbox.run(&["user", "get", "alice"]).refused(1);
}

/// The question needs data of the user, whose reading is recorded; a refusal needs none.
#[test]
fn refused_kind_of_user_is_not_read() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let rows = || -> i64 {
        let database = Connection::open(sandbox.path("hallpass.db")).unwrap();
        let count = "SELECT count(*) FROM audit";
        database.query_row(count, (), |row| row.get(0)).unwrap()
    };
    let delete = |name: &str| Terminal::run(&sandbox, &format!("machine delete {name}"));
    let before = rows();
    let (code, seen) = delete("alice").end();
    assert!(code != 0 && !seen.contains("[y/N]"), "{seen}");
    assert_eq!(rows(), before, "{seen}");
    // The control: a machine is read for the question.
    let mut terminal = delete("ci-bot");
    terminal.expect("[y/N]").type_keys("\n");
    assert_eq!(terminal.end().0, 1);
    assert_ne!(rows(), before);
}

#[test]
fn found_tokens_are_revoked_after_a_yes() {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "bot", "--owner=admin"]);
    let token = sandbox.create_token("bot", &[]);
    fs::write(sandbox.path("leak"), &token).unwrap();
    let scan = |answer: &str| {
        let mut terminal = Terminal::run(&sandbox, "scan leak --revoke");
        terminal
            .expect("Revoke 1 live token of 1 found, with its family? [y/N]")
            .type_keys(answer);
        let (code, seen) = terminal.end();
        assert_eq!(code, 1, "{seen}");
        assert!(!seen.contains(&token), "{seen}");
        seen
    };
    assert!(scan("\n").contains("nothing was done"));
    sandbox.print(&["token", "get", token.split('_').nth(1).unwrap()]);
    assert!(scan("y\n").contains(": revoked"));
}

#[test]
fn bulk_revocation_counts_asks_and_shows_progress() {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let texts = [(); 3].map(|()| sandbox.create_token("ci-bot", &[]));
    let revoke = |answer: &str| {
        let mut terminal = Terminal::run(&sandbox, "token revoke --user=ci-bot");
        terminal
            .expect("Revoke 3 tokens, never used? [y/N]")
            .type_keys(answer);
        terminal.end()
    };
    assert_eq!(revoke("\n").0, 1);
    let id = |text: &str| text.split('_').nth(1).unwrap().to_owned();
    sandbox.print(&["token", "get", &id(&texts[0])]);
    let (code, seen) = revoke("y\n");
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("revoked 3 of 3"), "{seen}");
    for text in &texts {
        sandbox.run(&["token", "get", &id(text)]).refused(1);
    }
}
