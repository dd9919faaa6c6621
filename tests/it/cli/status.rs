//! `hallpass status`, `version`, `whoami` as `local`, and `token verify`.

use std::{fs, net::TcpListener};

use serde_json::Value;

use super::sandbox::{PASSWORD, Ran, Sandbox};

#[test]
fn status_names_the_target_and_why_it_was_chosen() {
    let (one, other) = (Sandbox::set_up(), Sandbox::set_up());
    let server = other.serve(&[]);
    let url = format!("http://{}", server.address);
    let token = other.create_token("admin", &["--expires=1d"]);
    let socket = format!("unix:{}", other.path("hallpass.db.sock").display());
    let database = format!("sqlite:{}", other.path("hallpass.db").display());
    let here = format!("sqlite:{}", one.path("hallpass.db").display());
    let status = |args: &[&str], variables: &[(&str, &str)]| -> (String, String) {
        let mut command = one.command(&[&["status", "--json"], args].concat());
        command
            .env("HOME", one.path(""))
            .env("HALLPASS_TOKEN", &token)
            .envs(variables.iter().copied());
        let ran = Ran::of(command);
        assert_eq!(ran.code, 0, "{ran:?}");
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(told["server"]["ready"], true);
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        (text("target"), text("why"))
    };
    let is = |(target, why): (String, String), expected: &str, by: &str| {
        assert_eq!(target, expected);
        assert!(why.contains(by), "{why}");
    };
    let by_variables = [
        ("HALLPASS_SERVER", &*url),
        ("HALLPASS_DATABASE_URL", &*database),
    ];
    is(status(&[], &[]), &here, "default");
    // The stored login takes precedence over the default database only.
    let mut login = one.command(&["login", &url, "--with-token"]);
    fs::write(one.path("token"), &token).unwrap();
    login
        .env("HOME", one.path(""))
        .stdin(fs::File::open(one.path("token")).unwrap());
    let ran = Ran::of(login);
    assert_eq!(ran.code, 0, "{ran:?}");
    is(status(&[], &[]), &url, "hallpass login");
    let mut command = one.command(&["status"]);
    command.env("HOME", one.path(""));
    let told = Ran::of(command).stdout;
    assert!(told.contains("--database-url sqlite:hallpass.db"), "{told}");
    is(
        status(&[], &by_variables[1..]),
        &database,
        "HALLPASS_DATABASE_URL",
    );
    is(status(&[], &by_variables), &url, "HALLPASS_SERVER");
    is(
        status(&["--database-url=sqlite:hallpass.db"], &by_variables),
        &here,
        "--database-url",
    );
    is(
        status(
            &["--server", &socket, "--database-url=sqlite:hallpass.db"],
            &by_variables,
        ),
        &socket,
        "--server",
    );
    server.stop();
}

#[test]
fn status_shows_everyone_readiness_callers_policies_and_admins_counts() {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    sandbox.print(&["machine", "create", "ci-bot", "--owner=alice"]);
    let server = sandbox.serve(&["--max-token-ttl=90d", "--default-machine-token-ttl=7d"]);
    let url = format!("--server=http://{}", server.address);
    let elsewhere = Sandbox::empty();
    let status = |token: &str, args: &[&str]| {
        let mut command = elsewhere.command(&[&["status", &url], args].concat());
        if !token.is_empty() {
            command.env("HALLPASS_TOKEN", token);
        }
        let ran = Ran::of(command);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    let member = sandbox.create_token("alice", &["--expires=1d"]);
    let admin = sandbox.create_token("admin", &["--expires=1d"]);
    let version = env!("CARGO_PKG_VERSION");
    let (policy, counts) = (
        "expire after 90d at most; after 7d by default",
        "2 people, 1 machine;",
    );
    for (token, sees_policies, sees_counts) in [
        ("", false, false),
        (&*member, true, false),
        (&*admin, true, true),
    ] {
        let told = status(token, &[]);
        assert!(told.contains(&format!("hallpass {version}")), "{told}");
        assert!(
            told.lines()
                .any(|line| line.split_whitespace().eq(["Ready:", "yes"]))
        );
        assert_eq!(told.contains(policy), sees_policies, "{told}");
        assert_eq!(told.contains(counts), sees_counts, "{told}");
    }
    assert!(status(&admin, &[]).contains("2 active, 0 disabled, 0 expired"));

    // A refused token reveals nothing about the server.
    let told = status("hallpass_wrong", &[]);
    assert!(told.contains("which is refused"), "{told}");
    // As `local`, with a server and without one.
    let local = sandbox.print(&["status"]);
    assert!(
        local.contains(counts) && local.contains("not needed"),
        "{local}"
    );
    server.stop();
    let local = sandbox.print(&["status"]);
    assert!(local.contains(counts) && local.contains(policy), "{local}");
    assert!(local.contains("none runs on this database"), "{local}");
}

#[test]
fn status_exit_code_reports_a_missing_or_unready_server() {
    let sandbox = Sandbox::set_up();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let nobody = format!("--server=http://{}", free.unwrap());
    let ran = sandbox.run(&["status", &nobody]);
    assert_eq!(ran.code, 17, "{ran:?}");
    assert!(ran.stdout.contains("by --server"), "{ran:?}");
    assert!(ran.stderr.contains("cannot reach"), "{ran:?}");
    assert_eq!(Sandbox::empty().run(&["status"]).code, 3);

    let server = sandbox.serve(&[]);
    sandbox.tamper("DROP TABLE meta");
    let url = format!("--server=http://{}", server.address);
    let ran = sandbox.run(&["status", &url]);
    assert_eq!(ran.code, 13, "{ran:?}");
    assert!(ran.stdout.contains(env!("CARGO_PKG_VERSION")), "{ran:?}");
}

#[test]
fn version_prints_the_program_and_the_server() {
    let sandbox = Sandbox::set_up();
    let version = env!("CARGO_PKG_VERSION");
    let ran = sandbox.run(&["version"]);
    assert_eq!(
        (ran.code, &*ran.stdout),
        (0, &*format!("hallpass {version}\n"))
    );
    let server = sandbox.serve(&[]);
    let told = sandbox.print(&["version"]);
    assert!(
        told.contains(&format!("server   {version} at sqlite:")),
        "{told}"
    );
    // No token is needed.
    let url = format!("--server=http://{}", server.address);
    let told = Sandbox::empty().json(&["version", &url]);
    assert_eq!(told["server"]["version"], version);
    server.stop();
    assert_eq!(sandbox.json(&["version"])["server"], Value::Null);
}

#[test]
fn whoami_says_when_no_token_is_needed() {
    let sandbox = Sandbox::set_up();
    let uid = rustix::process::getuid().as_raw();
    let local = format!("local:{uid}");
    let check = || {
        assert_eq!(sandbox.json(&["whoami"])["actor"], local);
        let told = sandbox.print(&["whoami"]);
        assert!(
            told.contains(&local) && told.contains("may do anything"),
            "{told}"
        );
    };
    check();
    let server = sandbox.serve(&[]);
    check();
    server.stop();
}

#[test]
fn token_verify_prints_the_owner_or_the_reason() {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let text = sandbox.create_token("ci-bot", &["--scope=deploy", "--expires=36h"]);
    let bound = sandbox.create_token("ci-bot", &["--cidr=10.0.0.0/8"]);
    let id = text.split('_').nth(1).unwrap();
    let verify = |args: &[&str], text: &str| {
        sandbox.run_with(
            &[&["token", "verify", "-"], args].concat(),
            &format!(" {text}\n"),
        )
    };
    let ran = verify(&[], &text);
    assert_eq!(ran.code, 0, "{ran:?}");
    for seen in [id, "ci-bot (", "machine", "deploy", "in 1 day"] {
        assert!(ran.stdout.contains(seen), "{seen}: {ran:?}");
    }
    let refused = |args: &[&str], text: &str, why: &str| {
        let ran = verify(args, text);
        assert_eq!(ran.code, 1, "{ran:?}");
        // Malformed text gets no details.
        let is_token = text.starts_with("hallpass_");
        let more = ran.stderr.starts_with("`hallpass token explain -` ");
        assert_eq!(
            (more, ran.stderr.is_empty()),
            (is_token, !is_token),
            "{ran:?}"
        );
        assert!(ran.stdout.starts_with("not valid: "), "{ran:?}");
        assert!(ran.stdout.contains(why), "{ran:?}");
        assert_eq!(verify(&[args, &["--json"]].concat(), text).code, 1);
    };
    refused(&["--scope=other"], &text, "lacks a required scope");
    refused(&[], &bound, "--client-ip");
    refused(&["--client-ip=192.0.2.1"], &bound, "from that address");
    assert_eq!(verify(&["--client-ip=10.1.2.3"], &bound).code, 0);
    refused(&[], PASSWORD, "the form of a token");
    let others = Sandbox::set_up().create_token("admin", &[]);
    refused(&[], &others, "this server does not know it");
    sandbox.print(&["token", "disable", id]);
    refused(&[], &text, "it is disabled");
    sandbox.print(&["token", "delete", id]);
    refused(&[], &text, "it was deleted");
    let refusal = sandbox.run(&["token", "verify", &bound]).refused(2);
    assert!(!refusal.contains(&bound), "{refusal}");
}
