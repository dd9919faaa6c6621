//! Logging in and out, what a login leaves on the disk, and which servers get its token.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
    thread,
};

use serde_json::Value;

use super::{
    sandbox::{PASSWORD, Ran, Sandbox, Serving},
    terminal::Terminal,
};

/// A server, and a client machine with its own home directory.
struct Laptop {
    server_side: Sandbox,
    server: Serving,
    home: Sandbox,
}

impl Laptop {
    fn new() -> Self {
        let server_side = Sandbox::set_up();
        server_side.create_person("alice");
        let server = server_side.serve(&[]);
        let home = Sandbox::empty();
        fs::write(home.path("password"), PASSWORD).unwrap();
        Self {
            server_side,
            server,
            home,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command.env("HOME", self.home.path(""));
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args))
    }

    fn print(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.print(&[args, &["--json"]].concat())).unwrap()
    }

    fn login(&self, more: &[&str]) -> Ran {
        let url = self.url();
        let args = [
            "login",
            &url,
            "--username=alice",
            "--password-file=password",
        ];
        self.run(&[&args, more].concat())
    }

    fn with_stdin(&self, args: &[&str], stdin: &str) -> Ran {
        fs::write(self.home.path("stdin"), stdin).unwrap();
        let mut command = self.command(args);
        command.stdin(fs::File::open(self.home.path("stdin")).unwrap());
        Ran::of(command)
    }

    fn tokens(&self) -> Vec<Value> {
        let list = self.server_side.json(&["token", "list", "alice"]);
        list["tokens"].as_array().unwrap().clone()
    }

    fn folder(&self) -> std::path::PathBuf {
        self.home.path(".config/hallpass")
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn login_stores_an_expiring_private_token_that_ends_at_logout() {
    let laptop = Laptop::new();
    let ran = laptop.login(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stdout,
        format!("logged in to {} as alice\n", laptop.url())
    );
    let [token] = &laptop.tokens()[..] else {
        panic!("{:?}", laptop.tokens());
    };
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    assert_eq!(token["note"], format!("hallpass login on {host}"));
    assert!(ran.stderr.contains("in 30 days"), "{ran:?}");

    let files: Vec<_> = fs::read_dir(laptop.folder()).unwrap().collect();
    assert_eq!(files.len(), 2);
    assert_eq!(mode(&laptop.folder()), 0o700);
    for file in files {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
        // The token is not in the output.
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(PASSWORD));
        assert!(!ran.stderr.contains(text.trim()) && !ran.stdout.contains(text.trim()));
    }

    // The stored token is used where no other is given.
    let me = laptop.json(&["whoami"]);
    assert_eq!(me["user"]["username"], "alice");
    assert_eq!(me["token"]["id"], token["id"]);
    let told = laptop.print(&["whoami"]);
    for seen in [
        "alice (",
        "person",
        "member",
        "all that the user may",
        "in 30 days",
    ] {
        assert!(told.contains(seen), "{seen}: {told}");
    }
    let ran = laptop.run(&["logout"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(laptop.tokens().is_empty());
    assert_eq!(fs::read_dir(laptop.folder()).unwrap().count(), 1);
    laptop.run(&["whoami"]).refused(3);
    laptop.run(&["logout"]).refused(1);
}

#[test]
fn another_login_ends_the_previous_token() {
    let laptop = Laptop::new();
    laptop.login(&[]);
    let first = laptop.tokens();
    let ran = laptop.login(&["--expires=12h"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let second = laptop.tokens();
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first[0]["id"], second[0]["id"]);
    assert!(ran.stderr.contains("in 12 hours"), "{ran:?}");
}

/// The plaintext of a machine's token, created from the client machine.
fn made_from(laptop: &Laptop) -> String {
    laptop
        .server_side
        .print(&["machine", "create", "ci-bot", "--owner=alice"]);
    laptop
        .print(&["token", "create", "ci-bot", "--expires=1d"])
        .trim()
        .to_owned()
}

#[test]
fn another_login_keeps_tokens_made_with_the_previous_one() {
    let laptop = Laptop::new();
    laptop.login(&[]);
    let made = made_from(&laptop);
    let ran = laptop.login(&[]);
    assert!(
        ran.stderr
            .contains(" stays valid, since 1 token created with it"),
        "{ran:?}"
    );
    assert!(laptop.server.accepts(&made));
    assert_eq!(laptop.tokens().len(), 2);
}

#[test]
fn logout_asks_when_child_tokens_would_end() {
    let laptop = Laptop::new();
    laptop.login(&[]);
    let made = made_from(&laptop);
    for (keys, code, is_left) in [("n\n", 1, true), ("y\n", 0, false)] {
        let mut terminal = Terminal::run(&laptop.home, "logout");
        terminal.expect("[y/N]").type_keys(keys);
        let (ended, seen) = terminal.end();
        assert_eq!(ended, code, "{seen}");
        let seen = seen.replace("\r\n", "");
        assert!(seen.contains("1 token created with the token "), "{seen}");
        assert_eq!(laptop.server.accepts(&made), is_left);
        assert_eq!(laptop.run(&["whoami"]).code == 0, is_left);
    }
}

#[test]
fn given_token_is_stored_after_the_server_accepts_it_and_stays_valid_after_logout() {
    let laptop = Laptop::new();
    let token = laptop.server_side.create_token("alice", &["--expires=1d"]);
    let login = ["login", &laptop.url()];
    let wrong = format!("{}{}", &token[..token.len() - 7], "AAAAAAA");
    for bad in ["", "a-password", &wrong, &"x".repeat(10_000)] {
        let refusal = laptop.with_stdin(&login, bad).refused(1);
        assert!(refusal.contains("--username"), "{refusal}");
        assert!(bad.is_empty() || !refusal.contains(bad), "{refusal}");
        assert!(!laptop.folder().join("logins.json").exists());
    }
    let ran = laptop.with_stdin(&login, &format!("export HALLPASS_TOKEN=\"{token}\"\r\n"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(laptop.json(&["whoami"])["user"]["username"], "alice");
    assert_eq!(laptop.run(&["logout"]).code, 0);
    assert!(laptop.server.accepts(&token));
    // Nothing of it is left on the disk.
    for file in fs::read_dir(laptop.folder()).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains(&token));
    }
}

#[test]
fn token_file_may_be_named_and_links_are_not_followed() {
    let laptop = Laptop::new();
    let ran = laptop.login(&["--token-file=mine"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let file = laptop.home.path("mine");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(laptop.json(&["whoami"])["user"]["username"], "alice");

    // A file that others could have read is refused.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refusal = laptop.run(&["whoami"]).refused(2);
    assert!(refusal.contains("chmod"), "{refusal}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(laptop.run(&["logout"]).code, 0);
    assert!(!file.exists());

    fs::write(laptop.home.path("theirs"), "kept").unwrap();
    symlink("theirs", laptop.home.path("link")).unwrap();
    let refusal = laptop.login(&["--token-file=link"]).refused(1);
    assert!(refusal.contains("link"), "{refusal}");
    assert_eq!(fs::read(laptop.home.path("theirs")).unwrap(), b"kept");
    // The token that could not be stored has been revoked.
    assert!(laptop.tokens().is_empty());

    fs::remove_dir_all(laptop.folder()).unwrap();
    fs::create_dir(laptop.home.path("elsewhere")).unwrap();
    symlink(laptop.home.path("elsewhere"), laptop.folder()).unwrap();
    laptop.login(&[]).refused(1);
    assert!(laptop.tokens().is_empty());
}

#[test]
fn stored_token_is_sent_only_to_its_own_server() {
    let laptop = Laptop::new();
    laptop.login(&[]);
    // The same host by another name, a path on the same host, and another port.
    let port = laptop.server.address.rsplit_once(':').unwrap().1.to_owned();
    let localhost = format!("--server=http://localhost:{port}");
    let refusal = laptop.run(&["whoami", &localhost]).refused(2);
    assert!(refusal.contains("hallpass login"), "{refusal}");
    let below = format!("--server={}/other", laptop.url());
    laptop.run(&["whoami", &below]).refused(2);

    let thief = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("http://{}", thief.local_addr().unwrap());
    laptop.run(&["whoami", "--server", &elsewhere]).refused(2);
    // Its own server gets it when named.
    let own = format!("--server={}", laptop.url());
    assert_eq!(laptop.json(&["whoami", &own])["user"]["username"], "alice");
    // A token in the environment takes precedence.
    let mut command = laptop.command(&["whoami"]);
    command.env("HALLPASS_TOKEN", "hallpass_wrong");
    Ran::of(command).refused(1);
}

/// A server that redirects each call to `to`, and reports what it received.
fn redirecting(to: String) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let told = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = [0; 4_096];
        let len = stream.read(&mut seen).unwrap();
        write!(
            stream,
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        )
        .unwrap();
        String::from_utf8_lossy(&seen[..len]).into_owned()
    });
    (address, told)
}

#[test]
fn redirections_are_not_followed() {
    let laptop = Laptop::new();
    let token = laptop.server_side.create_token("alice", &["--expires=1d"]);
    let (address, told) = redirecting(laptop.url());
    let address = format!("{address}/below/a-path/");
    let mut command = laptop.command(&["whoami", "--server", &address]);
    command.env("HALLPASS_TOKEN", &token);
    let refusal = Ran::of(command).refused(17);
    assert!(refusal.contains("redirects are not followed"), "{refusal}");
    assert!(refusal.contains(&laptop.url()), "{refusal}");
    let told = told.join().unwrap();
    let call = "POST /below/a-path/hallpass.v1.AuthnService/GetCurrentUser HTTP/1.1";
    assert!(told.starts_with(call), "{told}");
}

#[test]
fn login_over_plain_http_needs_insecure() {
    let home = Sandbox::empty();
    let refusal = home.run(&["login", "http://192.0.2.1", "--with-token"]);
    let refusal = refusal.refused(2);
    assert!(refusal.contains("--insecure"), "{refusal}");
    home.run(&["login", "unix:hallpass.db.sock"]).refused(2);
    home.run(&["login", "tokens.example"]).refused(2);
    // Without a home directory it cannot be stored.
    let server = Sandbox::set_up();
    let server = server.serve(&[]);
    let url = format!("http://{}", server.address);
    let refusal = home.run(&["login", &url, "--with-token"]).refused(1);
    assert!(refusal.contains("HOME"), "{refusal}");
}

#[test]
fn logout_reports_what_it_could_not_do() {
    let laptop = Laptop::new();
    laptop.login(&[]);
    let id = laptop.tokens()[0]["id"].as_str().unwrap().to_owned();
    let Laptop {
        server_side,
        server,
        home,
    } = laptop;
    server.stop();
    let mut command = home.command(&["logout"]);
    command.env("HOME", home.path(""));
    let refusal = Ran::of(command).refused(17);
    assert!(
        refusal.contains(&id) && refusal.contains("still valid"),
        "{refusal}"
    );
    assert!(refusal.contains("is forgotten"), "{refusal}");
    assert_eq!(
        fs::read_dir(home.path(".config/hallpass")).unwrap().count(),
        1
    );
    server_side.print(&["token", "get", &id]);
}

#[test]
fn login_prompts_for_name_and_hidden_password() {
    let laptop = Laptop::new();
    let mut terminal = Terminal::run(&laptop.home, &format!("login {}", laptop.url()));
    terminal.expect("Username").type_keys("alice\n");
    terminal
        .expect("Password: ")
        .type_keys(&format!("{PASSWORD}\n"));
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    assert!(
        seen.contains("as alice") && !seen.contains(PASSWORD),
        "{seen}"
    );

    let token = laptop.server_side.create_token("admin", &["--expires=1d"]);
    let mut terminal = Terminal::run(&laptop.home, &format!("login {}", laptop.url()));
    terminal.expect("Username").type_keys("\n");
    terminal.expect("Token: ").type_keys(&format!("{token}\n"));
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    assert!(
        seen.contains("as admin") && !seen.contains(&token),
        "{seen}"
    );
}
