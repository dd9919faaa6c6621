//! Runs the shell blocks of each page in order, as a reader would: `serve` in one shell, the rest in another, which has
//! been through the README's first block. Differences from the text: `cargo run` runs the binary under test, ports are
//! free ones, and metrics are enabled with the flag from the page on operations. Each page has a server of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use tempfile::TempDir;

use super::{Page, pages};

const SERVE: &str = "cargo run --release -- serve\n";
/// The test run that this test is a part of.
const TESTS: &str = "tests/run\n";
const BINARY: &str = env!("CARGO_BIN_EXE_hallpass");

/// Replaces cargo: passes everything after `--` to the binary.
const CARGO: &str = r#"#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
exec hallpass "$@"
"#;

/// Replaces systemd for the one service that a page has: stops and starts the page's server.
const SYSTEMCTL: &str = r#"#!/bin/bash
case $1 in
  stop)
    kill "$(cat serve.pid)"
    # Nobody may have waited for it yet.
    while grep -q '^State:.[^Z]' "/proc/$(cat serve.pid)/status" 2>/dev/null; do sleep 0.1; done ;;
  start)
    HALLPASS_LISTEN=$(cat serve.address) setsid hallpass serve >/dev/null 2>serve.log &
    echo $! >serve.pid
    for _ in {1..200}; do hallpass healthcheck --listen "$(cat serve.address)" && exit; sleep 0.1; done 2>/dev/null
    cat serve.log; exit 1 ;;
esac
"#;
/// Replaces sudo, which the tests neither have nor need.
const SUDO: &str = r#"#!/bin/bash
[ "$1" = -u ] && shift 2
exec "$@"
"#;
/// Replaces apt-get: the new version is there already.
const APT_GET: &str = "#!/bin/sh\n";

/// Like the client snippets, a separate program reads address and token from the environment.
const CLIENT: &str = r#"bash -euc 'curl -sS --fail-with-body --oauth2-bearer "$TOKEN" \
  --json "{}" "$HALLPASS/hallpass.v1.TokenService/ListTokens"'"#;

/// What the blocks of a page print, among the rest.
const PRINTED: &[(&str, &[&str])] = &[
    (
        "README.md",
        &[
            "Valid:     yes",
            "x-auth-user: ci-bot",
            "revoked ",
            "rows, head",
        ],
    ),
    (
        "docs/api.md",
        &[
            "\"username\":\"admin\"",
            "\"note\":\"my laptop\"",
            "\"tokens\":[{",
        ],
    ),
    ("docs/bootstrap.md", &["\"username\":\"terraform\""]),
    (
        "docs/backup.md",
        &[
            "Verified:    intact",
            "nothing is wrong with the database",
            "Restored:       sqlite:",
            "rows, head",
        ],
    ),
    (
        "docs/commands.md",
        &["Target: ", "Role:      admin", "logged out of"],
    ),
    ("docs/audit.md", &["user.create", "rows, head"]),
    ("docs/configuration.md", &["hallpass.toml"]),
    (
        "docs/leaks.md",
        &[
            "revoked 1 token;",
            "secret is right: yes",
            "token.revoke",
            "./deploy.sh:1:22: hallpass_",
            "\"path\":\"<stdin>\",\"line\":1,\"column\":22,",
            ": revoked",
            "leak.txt:1:1: hallpass_",
        ],
    ),
    (
        "docs/operations.md",
        &["hallpass_tokens{state=\"active\"} "],
    ),
    ("docs/performance.md", &["VerifyToken"]),
    ("docs/policies.md", &["--max-token-ttl"]),
    ("docs/tls.md", &["ready\n", "Target: ", "CN=ci-runner"]),
    (
        "docs/tokens.md",
        &[
            "nightly deploy",
            "It took over from",
            "disabled ",
            "secret is right: yes",
            "would revoke 5 tokens",
        ],
    ),
    (
        "docs/upgrading.md",
        &[
            "Verified:    intact",
            "nothing to do: ",
            "Ready:",
            "nothing is wrong with the database",
        ],
    ),
    (
        "docs/users.md",
        &["handed to admin: images", "deleted alice"],
    ),
    (
        "docs/verifying.md",
        &["\"valid\":true", "\"active\":true", "x-auth-user: ci-bot"],
    ),
];

/// A folder in which `serve` runs in one shell, and a second shell to type into.
struct Reader {
    folder: TempDir,
    serve: Child,
    address: String,
    metrics: String,
}

impl Reader {
    fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in [
            ("cargo", CARGO),
            ("systemctl", SYSTEMCTL),
            ("sudo", SUDO),
            ("apt-get", APT_GET),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink(BINARY, folder.path().join("hallpass")).unwrap();
        let mut serve = shell(folder.path(), &format!("exec {SERVE}"));
        let serve = serve
            .env("HALLPASS_LISTEN", "127.0.0.1:0")
            .env("HALLPASS_METRICS_LISTEN", "127.0.0.1:0")
            .envs(settings.iter().copied())
            .stderr(Stdio::null())
            .stdout(Stdio::piped());
        let mut serve = serve.spawn().unwrap();
        let mut lines = BufReader::new(serve.stdout.take().unwrap()).lines();
        let mut after = |what: &str| {
            let line = lines.next().expect("it prints a line").unwrap();
            line.strip_prefix(what).expect(what).to_owned()
        };
        let address = after("hallpass listening on http://");
        let metrics = after("hallpass metrics on http://").replace("/metrics", "");
        fs::write(folder.path().join("serve.pid"), serve.id().to_string()).unwrap();
        fs::write(folder.path().join("serve.address"), &address).unwrap();
        Self {
            folder,
            serve,
            address,
            metrics,
        }
    }

    /// Runs the script with the real address in it. Returns what it prints, or why it failed.
    fn run(&self, script: &str) -> Result<String, String> {
        let script = script
            .replace("127.0.0.1:8080", &self.address)
            .replace("127.0.0.1:9090", &self.metrics)
            .replace("127.0.0.1:8443", &free_address());
        let output = shell(self.folder.path(), &script).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!("{script}\n{stdout}\n{stderr}"))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // A page may have started another one.
        drop(self.run("kill -9 $(cat serve.pid)"));
        drop(self.serve.kill());
        drop(self.serve.wait());
    }
}

/// Where the block's own server can listen.
fn free_address() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

fn shell(folder: &Path, script: &str) -> Command {
    // The folder first: `cargo` and `hallpass` are the ones in it.
    let script = format!("PATH=\"$PWD:$PATH\"\n{script}");
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder)
        // Logins stay in the folder and are found nowhere else.
        .env("HOME", folder)
        .env_remove("XDG_CONFIG_HOME");
    command
}

fn blocks(text: &str) -> Vec<&str> {
    let blocks = text.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split_once("```").expect("the block ends").0)
        .collect()
}

/// Runs the blocks of a page. Returns what is wrong, if anything is.
fn fault(page: &Page, first: &str) -> Option<String> {
    let mut blocks = blocks(&page.text);
    // tests/runbook/run runs its blocks, each after the fault that it is for.
    if page.path == "docs/runbook.md" {
        return None;
    }
    if page.path == "README.md" {
        assert_eq!(blocks[..2], [SERVE, TESTS]);
        blocks.drain(..2);
    } else if blocks.is_empty() {
        return None;
    } else {
        blocks.insert(0, first);
    }
    if page.path == "docs/api.md" {
        blocks.push(CLIENT);
    }
    let settings: &[_] = match page.path.as_str() {
        "docs/bootstrap.md" => &[("HALLPASS_BOOTSTRAP_TOKEN_FILE", "bootstrap-token")],
        _ => &[],
    };
    let reader = Reader::start(settings);
    let stdout = match reader.run(&blocks.join("\n")) {
        Ok(stdout) => stdout,
        Err(fault) => return Some(format!("{}: {fault}", page.path)),
    };
    let printed = PRINTED.iter().find(|(path, _)| *path == page.path);
    let Some((_, printed)) = printed else {
        return Some(format!("{} has blocks, but no line above", page.path));
    };
    if let Some(missing) = printed.iter().find(|text| !stdout.contains(**text)) {
        return Some(format!("{}: no {missing:?} in\n{stdout}", page.path));
    }
    let eternal = reader.run("hallpass token list --all --never-expires --json");
    let none = eternal
        .as_ref()
        .is_ok_and(|json| json.contains("\"tokens\": []"));
    (!none).then(|| format!("{}: tokens that never expire: {eternal:?}", page.path))
}

#[test]
#[ignore = "needs curl, jq and openssl: tests/run installs them and runs this"]
fn every_shell_block_runs_unchanged() {
    let pages = pages();
    let first = blocks(&pages[0].text)[2];
    let faults: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = pages
            .iter()
            .map(|page| scope.spawn(move || fault(page, first)))
            .collect();
        let faults = runs.into_iter().filter_map(|run| run.join().unwrap());
        faults.collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    // The control: a block that fails, and one that prints something else.
    for (block, expected) in [
        ("hallpass token get nonsense", "must be"),
        ("true", "no \""),
    ] {
        let page = Page {
            path: "docs/users.md".to_owned(),
            text: format!("```sh\n{block}\n```\n"),
        };
        let fault = fault(&page, first).expect("it is seen");
        assert!(fault.contains(expected), "{fault}");
    }
}

/// The calls on the server's own page are shell, too.
#[test]
#[ignore = "needs curl, jq and openssl: tests/run installs them and runs this"]
fn the_calls_on_the_page_run() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/static/index.html"));
    let page = page.replace("{{address}}", "http://127.0.0.1:8080");
    let calls = page.split("<pre").skip(1).take(4);
    let calls: Vec<_> = calls
        .filter_map(|part| Some(text(part.split_once("</pre>")?.0)))
        .collect();
    assert_eq!(calls.len(), 4);
    let stdout = Reader::start(&[]).run(&calls.join("\n")).unwrap();
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
