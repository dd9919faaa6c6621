//! Runs every shell block of the README, in order, as one reader would: `serve` in one shell, the rest in
//! another. Only this differs from what is printed: `cargo run` runs the binary that this test was built with,
//! the addresses have free ports, and the metrics, for which the README has a flag, are served.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::README;

const SERVE: &str = "cargo run --release -- serve\n";
/// The test run of which this test is a part.
const TESTS: &str = "tests/run\n";

/// Stands for cargo: what comes after `--` goes to the binary.
const CARGO: &str = r#"#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
exec "$TESTED_BINARY" "$@"
"#;

/// As the clients' snippets do, a program of its own takes address and token from the environment.
const CLIENT: &str = r#"bash -euc 'curl -sS --fail-with-body --oauth2-bearer "$TOKEN" \
  --json "{}" "$HALLPASS/hallpass.v1.TokenService/ListTokens"'"#;

/// A folder in which `serve` runs in one shell, and a second shell to type into.
struct Reader {
    folder: TempDir,
    serve: Child,
    address: String,
    metrics: String,
}

impl Reader {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cargo = folder.path().join("cargo");
        fs::write(&cargo, CARGO).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        let mut serve = shell(folder.path(), &format!("exec {SERVE}"));
        let serve = serve
            .env("HALLPASS_LISTEN", "127.0.0.1:0")
            .env("HALLPASS_METRICS_LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped());
        let mut serve = serve.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(serve.stdout.take().unwrap()).lines();
        let mut after = |what: &str| {
            let line = lines.next().expect("it prints a line").unwrap();
            line.strip_prefix(what).expect(what).to_owned()
        };
        let address = after("hallpass listening on http://");
        let metrics = after("hallpass metrics on http://").replace("/metrics", "");
        Self {
            folder,
            serve,
            address,
            metrics,
        }
    }

    /// What the script, with the real address in it, prints; it must succeed.
    fn run(&self, script: &str) -> String {
        let script = script
            .replace("127.0.0.1:8080", &self.address)
            .replace("127.0.0.1:9090", &self.metrics);
        let output = shell(self.folder.path(), &script).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{stdout}\n{stderr}");
        stdout
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.serve.kill());
        drop(self.serve.wait());
    }
}

fn shell(folder: &Path, script: &str) -> Command {
    // The folder first: `cargo` is the one in it.
    let script = format!("PATH=\"$PWD:$PATH\"\n{script}");
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder)
        .env("TESTED_BINARY", env!("CARGO_BIN_EXE_hallpass"))
        // Logins are left in the folder, and found nowhere else.
        .env("HOME", folder)
        .env_remove("XDG_CONFIG_HOME");
    command
}

fn blocks() -> Vec<&'static str> {
    let blocks = README.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split_once("```").expect("the block ends").0)
        .collect()
}

#[test]
#[ignore = "needs curl and jq: tests/run installs them and runs this"]
fn every_shell_block_runs_as_it_stands() {
    let blocks = blocks();
    assert_eq!(blocks[..2], [SERVE, TESTS]);
    let reader = Reader::start();
    let stdout = reader.run(&format!("{}\n{CLIENT}", blocks[2..].join("\n")));
    let eternal = reader.run("cargo run -- token list --all --never-expires --json");
    assert!(eternal.contains("\"tokens\": []"), "{eternal}");
    for seen in [
        "\"username\":\"admin\"",
        "\"note\":\"my laptop\"",
        "deploy",
        "\"valid\":true",
        "\"active\":true",
        "x-auth-user: ci-bot",
        "rows, head",
        "disabled ",
        "The token is valid.",
        "It took over from",
        "secret is right: yes",
        "./deploy.sh:1:22: hallpass_",
        "\"path\":\"<stdin>\",\"line\":1,\"column\":22,",
        ": revoked",
        "leak.txt:1:1: hallpass_",
        "would revoke 3 tokens",
        "revoked 1 token;",
        "hallpass_tokens{state=\"active\"} ",
    ] {
        assert!(stdout.contains(seen), "{seen} in\n{stdout}");
    }
}

/// The calls on the server's own page are shell, too.
#[test]
#[ignore = "needs curl and jq: tests/run installs them and runs this"]
fn the_calls_on_the_page_run() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/static/index.html"));
    let page = page.replace("{{address}}", "http://127.0.0.1:8080");
    let calls = page.split("<pre").skip(1).take(4);
    let calls: Vec<_> = calls
        .filter_map(|part| Some(text(part.split_once("</pre>")?.0)))
        .collect();
    assert_eq!(calls.len(), 4);
    let stdout = Reader::start().run(&calls.join("\n"));
    assert!(stdout.contains("\"username\":\"admin\""), "{stdout}");
    assert!(!stdout.contains("\"code\""), "{stdout}");
}

/// What a browser shows of the inside of an element.
fn text(html: &str) -> String {
    let mut text = String::new();
    let mut inside = true; // the rest of the opening tag
    for char in html.chars() {
        match char {
            '<' => inside = true,
            '>' if inside => inside = false,
            _ if inside => {}
            _ => text.push(char),
        }
    }
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(text, |text, (entity, char)| text.replace(entity, char))
}
