//! Commands with wrong arguments or the wrong target: the error message, and what is understood nevertheless.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use serde_json::{Value, json};

use super::sandbox::{Ran, Sandbox};
use crate::test_app::id_of;

const NOBODY: &str = "0000000000000000000000";

/// The secret part of a plaintext.
fn secret(text: &str) -> &str {
    text.rsplit('_').next().unwrap()
}

#[test]
fn usage_error_names_the_mistake_the_correction_and_the_help() {
    let sandbox = Sandbox::empty();
    for (args, lines) in [
        (
            &["token", "lst"][..],
            "`hallpass token` has no command lst\nDid you mean list?\nSee `hallpass token --help`.",
        ),
        (
            &["token", "list", "--al"],
            "`hallpass token list` has no flag --al\nDid you mean --all?\nSee `hallpass token list --help`.",
        ),
        (
            &["token", "list", "--all", "--limit", "-1"],
            "--limit: must be a whole number from 1 to 1000000000, not -1\nSee `hallpass token list --help`.",
        ),
        (
            &["user", "set-role", "admin", "membr"],
            "ROLE: membr is not one of admin, member\nDid you mean member?\nSee `hallpass user set-role --help`.",
        ),
    ] {
        assert_eq!(sandbox.run(args).refused(2), lines);
    }
    for (args, flag) in [
        (&["audit", "list", "--limit=abc"][..], "--limit: "),
        (&["audit", "list", "--limit=0"], "--limit: "),
        (
            &["token", "list", "--limit=99999999999999999999"],
            "--limit: ",
        ),
        (&["bench", "--clients", "-1"], "--clients: "),
        (&["bench", "--tokens=1e3"], "--tokens: "),
        (
            &["serve", "--max-connections", "-5"],
            "--max-connections (HALLPASS_MAX_CONNECTIONS): ",
        ),
    ] {
        let refusal = sandbox.run(args).refused(2);
        assert!(refusal.starts_with(flag), "{refusal}");
        assert!(
            refusal.contains("must be a whole number from 1 to "),
            "{refusal}"
        );
    }
    // Also for mistakes that clap does not find.
    let inspect = ["token", "inspect", "not-a-dash"];
    let refusal = sandbox.run(&inspect).refused(2);
    assert!(
        refusal.ends_with("\nSee `hallpass token inspect --help`."),
        "{refusal}"
    );
    let refusal =
        Sandbox::with_machine().run(&["token", "create", "ci-bot", "--scope=hallpass:token:read"]);
    let refusal = refusal.refused(1);
    assert!(
        refusal.ends_with("did you mean hallpass:tokens:read?"),
        "{refusal}"
    );
}

#[test]
fn token_list_defaults_to_the_callers_own() {
    let sandbox = Sandbox::with_machine();
    sandbox.create_person("alice");
    let own = sandbox.create_token("ci-bot", &[]);
    sandbox.create_token("alice", &[]);
    let ids = |list: &Value| -> Vec<Value> {
        let tokens = list["tokens"].as_array().unwrap();
        tokens.iter().map(|token| token["id"].clone()).collect()
    };
    let line_id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].clone();
    let local = || {
        for args in [&["token", "list"][..], &["token", "list", "--jsonl"]] {
            let refusal = sandbox.run(args).refused(2);
            assert!(
                refusal.contains("--all") && refusal.contains("--user"),
                "{refusal}"
            );
        }
        let lines = sandbox.print(&["token", "list", "--user=ci-bot", "--jsonl"]);
        assert_eq!(line_id(&lines), json!(id_of(&own)));
        let named = sandbox.json(&["token", "list", "--user=ci-bot"]);
        assert_eq!(named, sandbox.json(&["token", "list", "ci-bot"]));
        assert_eq!(ids(&named), [json!(id_of(&own))]);
    };
    local();
    let server = sandbox.serve(&[]);
    local();
    let url = format!("--server=http://{}", server.address);
    let remote = |form| {
        let mut command = sandbox.command(&["token", "list", form, &url]);
        command.env("HALLPASS_TOKEN", &own);
        let ran = Ran::of(command);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    let one = serde_json::from_str(&remote("--json")).unwrap();
    assert_eq!(ids(&one), [json!(id_of(&own))]);
    assert_eq!(line_id(&remote("--jsonl")), json!(id_of(&own)));
    server.stop();
    sandbox
        .run(&["token", "list", "alice", "--user=ci-bot"])
        .refused(2);
    sandbox
        .run(&["token", "list", "--user=ci-bot", "--never-expires"])
        .refused(2);
}

#[test]
fn machine_commands_refuse_people() {
    let sandbox = Sandbox::with_machine();
    let machine = |args: &[&str]| sandbox.json(&[&["machine"], args].concat());
    let got = machine(&["get", "ci-bot"]);
    assert_eq!(got, sandbox.json(&["user", "get", "ci-bot"]));
    let described = machine(&["describe", "ci-bot", "builds the site"]);
    assert_eq!(described["user"]["description"], "builds the site");
    assert_eq!(
        machine(&["describe", "ci-bot", ""])["user"]["description"],
        ""
    );
    sandbox.run(&["machine", "deactivate", "ci-bot"]).refused(2);
    assert_eq!(
        machine(&["deactivate", "ci-bot", "--yes"])["user"]["deactivated"],
        true
    );
    assert_eq!(
        machine(&["reactivate", "ci-bot"])["user"]["deactivated"],
        false
    );

    for args in [
        &["get"][..],
        &["describe", "who"],
        &["deactivate", "--yes"],
        &["reactivate"],
        &["delete", "--yes"],
    ] {
        let args = [&["machine", args[0], "admin"], &args[1..]].concat();
        let refusal = sandbox.run(&args).refused(1);
        assert!(refusal.starts_with("admin is a person"), "{refusal}");
    }
    let described = sandbox.json(&["user", "describe", "admin", "keeps the keys"]);
    assert_eq!(described["user"]["description"], "keeps the keys");
    assert_eq!(
        machine(&["delete", "ci-bot", "--yes"]),
        json!({ "deletedTokens": 0 })
    );
    let help = sandbox.print(&["machine", "get", "--help"]);
    assert!(help.contains("<MACHINE>"), "{help}");
}

#[test]
fn missing_user_or_token_is_named() {
    let sandbox = Sandbox::with_machine();
    let check = || {
        for args in [
            &["user", "get", "nobody"][..],
            &["token", "create", "nobody"],
            &["token", "list", "--user=nobody"],
            &["token", "list", "--all", "--user=nobody"],
            &["machine", "set-owner", "ci-bot", "nobody"],
            &["machine", "set-owner", "nobody", "admin"],
            &["machine", "create", "other", "--owner=nobody"],
        ] {
            let refusal = sandbox.run(args).refused(1);
            assert_eq!(
                refusal.lines().next(),
                Some("there is no such user: nobody")
            );
        }
        let refusal = sandbox.run(&["user", "get", NOBODY]).refused(1);
        let tokens_too = format!("`hallpass token get {NOBODY}`");
        assert!(refusal.contains(&tokens_too), "{refusal}");
        let refusal = sandbox.run(&["user", "get", "No Body"]).refused(1);
        assert!(
            refusal.starts_with("there is no such user: No Body; a name is "),
            "{refusal}"
        );
        for command in ["get", "delete", "disable", "enable", "rotate", "explain"] {
            let refusal = sandbox.run(&["token", command, NOBODY]).refused(1);
            let named = format!("there is no such token: {NOBODY}");
            assert_eq!(refusal.lines().next(), Some(&*named));
        }
    };
    check();
    let server = sandbox.serve(&[]);
    check();

    // A client of the API whose request names two fields.
    let admin = sandbox.json(&["user", "get", "admin"])["user"]["id"].clone();
    let machine = sandbox.json(&["machine", "get", "ci-bot"])["user"]["id"].clone();
    let token = sandbox.create_token("admin", &[]);
    let set = |user: &Value, owner: &Value| {
        let message = json!({ "userId": user, "ownerId": owner });
        let (status, answer) = server.call("UserService/SetOwner", &token, &message);
        (
            status,
            answer["message"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let nobody = json!(NOBODY);
    assert_eq!(
        set(&nobody, &admin),
        (404, "there is no such user".to_owned())
    );
    assert_eq!(
        set(&machine, &nobody),
        (404, "owner_id: there is no such user".to_owned())
    );
    server.stop();
}

#[test]
fn plaintext_is_accepted_in_place_of_an_id() {
    let sandbox = Sandbox::with_machine();
    let server = sandbox.serve(&[]);
    let text = sandbox.create_token("ci-bot", &[]);
    let run = |args: &[&str]| {
        let ran = sandbox.run(&[&["token"], args].concat());
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        assert!(!ran.stdout.contains(secret(&text)), "{ran:?}");
        assert!(!ran.stderr.contains(secret(&text)), "{ran:?}");
        // Others may have read an argument.
        assert!(ran.stderr.contains("rotate or delete the token"), "{ran:?}");
        ran.stdout
    };
    let shown = run(&["get", &text]);
    assert!(shown.contains(id_of(&text)), "{shown}");
    for pasted in [
        format!(" '{text}'\n"),
        format!("Bearer {text}"),
        format!("\u{feff}\"{text}\","),
    ] {
        assert_eq!(run(&["get", &pasted]), shown, "{pasted}");
    }
    let explained = run(&["explain", &text]);
    assert!(
        explained.contains("\n  secret is right: yes\n"),
        "{explained}"
    );
    run(&["update", &text, "--note=nightly"]);
    run(&["disable", &text]);
    assert!(!server.accepts(&text));
    run(&["enable", &text]);
    let child = json!({ "note": "child" });
    let (status, child) = server.call("TokenService/CreateToken", &text, &child);
    assert_eq!(status, 200, "{child}");
    let child = child["token"].as_str().unwrap();
    for flag in ["--parent", "--family"] {
        let list = run(&["list", "--all", "--json", flag, &text]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let found = if flag == "--parent" {
            id_of(child)
        } else {
            id_of(&text)
        };
        assert_eq!(list["tokens"][0]["id"], found, "{list}");
        assert_eq!(list["tokens"].as_array().unwrap().len(), 1, "{list}");
    }
    let new = run(&["rotate", &text, "--grace=1h"]);
    assert!(server.accepts(&text) && server.accepts(new.trim_end()));
    // Where ID and plaintext mean different things, the message distinguishes them.
    let refusal = sandbox.run(&["token", "revoke", &text, "--yes"]).refused(2);
    assert!(
        refusal.contains("family") && refusal.contains(id_of(&text)),
        "{refusal}"
    );
    assert!(server.accepts(&text));
    let ran = sandbox.run(&["token", "delete", new.trim_end()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!server.accepts(new.trim_end()));
    server.stop();
}

/// The bytes that a command sends when the plaintext `text` is among its arguments.
fn sent(sandbox: &Sandbox, args: &[&str], bearer: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("--server=http://{}", listener.local_addr().unwrap());
    let recorder = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = vec![0; 64 * 1024];
        let mut length = 0;
        loop {
            let read = stream.read(&mut head[length..]).unwrap();
            length += read;
            let text = String::from_utf8_lossy(&head[..length]).into_owned();
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
            if read == 0 || body.is_some_and(|length| length > 0) {
                stream
                    .write_all(b"HTTP/1.1 418 no\r\ncontent-length: 0\r\n\r\n")
                    .unwrap();
                return text;
            }
        }
    });
    let mut command = sandbox.command(&[args, &[&url]].concat());
    command.env("HALLPASS_TOKEN", bearer);
    let ran = Ran::of(command);
    assert_ne!(ran.code, 0, "{ran:?}");
    recorder.join().unwrap()
}

#[test]
fn plaintext_given_as_an_id_is_never_sent_and_a_broken_one_is_never_echoed() {
    let sandbox = Sandbox::with_machine();
    let [text, bearer] = [(); 2].map(|()| sandbox.create_token("ci-bot", &[]));
    for args in [
        &["get"][..],
        &["delete"],
        &["disable"],
        &["enable"],
        &["rotate", "--grace=1h"],
        &["update", "--note=x"],
        &["explain"],
        &["list", "--all", "--parent"],
        &["list", "--all", "--family"],
    ] {
        let args = [&["token"], args].concat();
        let bytes = sent(&sandbox, &[&args[..], &[&text]].concat(), &bearer);
        // The control: the capture sees what is sent.
        assert!(
            bytes.contains(&bearer) && bytes.contains(id_of(&text)),
            "{bytes}"
        );
        assert!(!bytes.contains(secret(&text)), "{args:?}: {bytes}");

        let (mistyped, cut) = (text.replace("hallpass_", "hellpass_"), &text[..70]);
        for broken in [&*mistyped, cut, secret(&text), &format!("{text} {bearer}")] {
            let refusal = sandbox.run(&[&args[..], &[broken]].concat()).refused(2);
            assert!(refusal.contains("must be a token's ID"), "{refusal}");
            assert!(!refusal.contains(&secret(&text)[..20]), "{refusal}");
        }
    }
    for args in [
        &["user", "get", &text][..],
        &["token", "list", &text],
        &["token", "create", &text],
        &["machine", "set-owner", "ci-bot", &text],
    ] {
        let ran = sandbox.run(args);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("a token is given"), "{ran:?}");
        assert!(!ran.stderr.contains(secret(&text)), "{ran:?}");
    }
    for flag in ["--actor", "--target"] {
        for broken in [&text[..70], secret(&text), &format!("{text} {bearer}"), ""] {
            let refusal = sandbox.run(&["audit", "list", flag, broken]).refused(2);
            assert!(refusal.contains("must be a user's name"), "{refusal}");
            assert!(!refusal.contains(&secret(&text)[..20]), "{refusal}");
        }
    }
    let refusal = sandbox.run(&["user", "get", &text[..70]]).refused(1);
    assert!(!refusal.contains(&secret(&text)[..20]), "{refusal}");
}
