//! `hallpass token rotate`, `update`, `disable`, `enable` and `explain`, as clients of a running server.

use hallpass::domain::base62;
use serde_json::{Value, json};

use super::sandbox::Sandbox;

fn id(text: &str) -> &str {
    text.split('_').nth(1).unwrap()
}

fn with_machine() -> Sandbox {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    sandbox
}

#[test]
fn rotate_prints_only_the_successor_and_both_tokens_work() {
    let sandbox = with_machine();
    let server = sandbox.serve(&[]);
    let old = sandbox.create_token("ci-bot", &["--expires=90d", "--note=CI"]);
    let ran = sandbox.run(&["token", "rotate", id(&old), "--grace=1h"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let new = ran.stdout.strip_suffix('\n').unwrap();
    assert!(new.starts_with("hallpass_") && new.len() == 81, "{ran:?}");
    assert!(!ran.stderr.contains(new), "{ran:?}");
    assert!(ran.stderr.contains(id(&old)), "{ran:?}");
    assert!(server.accepts(&old) && server.accepts(new));
    let list = sandbox.print(&["token", "list", "ci-bot"]);
    assert!(
        list.contains("  rotated, ") && list.contains("  live, "),
        "{list}"
    );

    // As the API returns it.
    let told = sandbox.json(&["token", "rotate", id(new)]);
    assert!(!server.accepts(new));
    let last = told["token"].as_str().unwrap();
    assert!(server.accepts(last));
    assert_eq!(told["predecessor"]["id"], id(new));
    assert_eq!(told["predecessor"]["successorId"], id(last));
    assert_eq!(told["metadata"]["familyId"], id(&old));
    let get = json!({ "tokenId": id(last) });
    let (_, answer) = server.call("TokenService/GetToken", last, &get);
    for (field, value) in answer["token"].as_object().unwrap() {
        assert_eq!(&told["metadata"][field], value, "{field}");
    }
    let refusal = sandbox.run(&["token", "rotate", id(&old)]).refused(1);
    assert!(refusal.contains("already"), "{refusal}");
    let rotate = |arg| sandbox.run(&["token", "rotate", id(last), arg]);
    rotate("--expires=tomorrow").refused(2);
    rotate("--grace=soon").refused(2);
    rotate("--grace=400d").refused(1);
    let brief = sandbox.create_token("ci-bot", &["--expires=90d"]);
    let told = sandbox.json(&["token", "rotate", id(&brief), "--expires=never"]);
    assert_eq!(told["metadata"].get("expireTime"), None, "{told}");
    server.stop();
}

#[test]
fn token_can_be_described_narrowed_disabled_and_enabled() {
    let sandbox = with_machine();
    let server = sandbox.serve(&[]);
    let text = sandbox.create_token("ci-bot", &["--scope=a", "--scope=b"]);
    let of = |args: &[&str]| -> Value {
        let args = [&["token", args[0], id(&text)], &args[1..]].concat();
        sandbox.json(&args)["token"].clone()
    };
    let told = of(&[
        "update",
        "--note=nightly",
        "--scope=a",
        "--cidr=127.0.0.0/8",
    ]);
    assert_eq!(told["note"], "nightly");
    assert_eq!(told["scopes"], json!(["a"]));
    assert_eq!(told["allowedCidrs"], json!(["127.0.0.0/8"]));
    assert_eq!(of(&["disable"])["disabled"], true);
    assert!(!server.accepts(&text));
    assert_eq!(of(&["enable"])["disabled"], false);
    assert!(server.accepts(&text));
    sandbox
        .run(&["token", "update", id(&text), "--scope=b"])
        .refused(1);
    sandbox.run(&["token", "update", id(&text)]).refused(2);
    server.stop();
}

#[test]
fn token_is_explained_by_id_or_by_plaintext_on_stdin() {
    let sandbox = with_machine();
    let server = sandbox.serve(&[]);
    let text = sandbox.create_token("ci-bot", &["--note=not in a sentence"]);
    let told = sandbox.print(&["token", "explain", id(&text)]);
    let lines: Vec<_> = told.lines().collect();
    let first = [
        "The token is valid.",
        "  not deleted: yes",
        "  not expired: yes (it never expires)",
        "  not disabled: yes",
        "  user is active: yes (it belongs to ci-bot)",
        "  parent is valid: yes (it has none)",
        "  allowed from some address: yes (from anywhere)",
        "  has some scope left: yes (it may do all that its user may)",
        "It belongs to ci-bot.",
    ];
    assert_eq!(lines[..9], first, "{told}");
    assert!(told.contains("on the server's machine"), "{told}");
    assert!(!told.contains("not in a sentence"), "{told}");

    let ran = sandbox.run_with(&["token", "explain", "-"], &format!("{text}\n"));
    assert!(ran.stdout.contains("  secret is right: yes\n"), "{ran:?}");
    // The same ID with another token's secret.
    let forged = forge(&text, &sandbox.create_token("ci-bot", &[]));
    let explain = ["token", "explain", "-", "--json"];
    let ran = sandbox.run_with(&explain, &forged);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["plaintextMatches"], false);
    let by_id = sandbox.run_with(&explain, id(&text));
    let by_id: Value = serde_json::from_str(&by_id.stdout).unwrap();
    assert_eq!(by_id.get("plaintextMatches"), None);

    // As the API returns it, which omits default values.
    let message = json!({ "tokenId": id(&text) });
    let (_, answer) = server.call("TokenService/ExplainToken", &text, &message);
    for (field, value) in answer.as_object().unwrap() {
        let told = &by_id[field];
        let same = match field.as_str() {
            "token" | "user" => told["id"] == value["id"],
            "origin" => told["credential"] == value["credential"],
            "conditions" => told[1]["checked"] == value[1]["checked"],
            "family" => told[0]["createTime"] == value[0]["createTime"],
            _ => told == value,
        };
        assert!(same, "{field}: {value}, {told}");
    }
    server.stop();
}

/// A well-formed token with the ID of one token and the secret of another.
fn forge(of: &str, other: &str) -> String {
    let secret = &other.split('_').nth(2).unwrap()[..43];
    let body = format!("hallpass_{}_{secret}", id(of));
    let mut crc = [0; 6];
    base62::encode([crc32fast::hash(body.as_bytes())], &mut crc);
    format!("{body}{}", str::from_utf8(&crc).unwrap())
}

#[test]
fn text_that_is_no_token_is_not_explained_or_echoed() {
    let sandbox = with_machine();
    let text = sandbox.create_token("ci-bot", &[]);
    for args in [
        &["token", "explain", "-", &text][..],
        &["token", "explain", "nonsense"],
    ] {
        let refusal = sandbox.run(args).refused(2);
        assert!(!refusal.contains(args[args.len() - 1]), "{refusal}");
    }
    let explain = ["token", "explain", "-"];
    let refusal = sandbox.run_with(&explain, "nonsense").refused(1);
    assert!(!refusal.contains("nonsense"), "{refusal}");
    let unknown = "0000000000000000000000";
    let refusal = sandbox.run(&["token", "explain", unknown]).refused(1);
    assert!(refusal.ends_with(unknown), "{refusal}");
}
