//! `hallpass token`, as a client of a running server.

use hallpass::domain::base62;
use serde_json::{Value, json};

use super::sandbox::Sandbox;
use crate::test_app::id_of;

#[test]
fn create_prints_only_the_plaintext_and_never_again() {
    let sandbox = Sandbox::with_machine();
    let ran = sandbox.run(&["token", "create", "ci-bot", "--note=CI job"]);
    let text = ran.stdout.strip_suffix('\n').unwrap();
    assert!(text.starts_with("hallpass_") && text.len() == 81, "{ran:?}");
    assert!(ran.stderr.contains("not shown again"), "{ran:?}");
    assert!(!ran.stderr.contains(text), "{ran:?}");
    let list = sandbox.print(&["token", "list", "ci-bot"]);
    assert!(list.contains("never") && list.contains("CI job"), "{list}");
    assert!(!list.contains(text), "{list}");
}

#[test]
fn token_get_matches_the_api_until_deletion() {
    let sandbox = Sandbox::with_machine();
    let server = sandbox.serve(&[]);
    let created = sandbox.json(&[
        "token",
        "create",
        "ci-bot",
        "--expires=90d",
        "--scope=hallpass:tokens:read",
        "--scope=deploy",
        "--cidr=127.0.0.0/8",
        "--note=n",
    ]);
    let (text, metadata) = (created["token"].as_str().unwrap(), &created["metadata"]);
    let id = metadata["id"].as_str().unwrap();
    assert_eq!(
        metadata["scopes"],
        json!(["deploy", "hallpass:tokens:read"])
    );
    assert_eq!(metadata["allowedCidrs"], json!(["127.0.0.0/8"]));
    assert_eq!(metadata["parentId"], "");
    assert_eq!(&sandbox.json(&["token", "get", id])["token"], metadata);
    assert_eq!(
        sandbox.json(&["token", "list", "ci-bot"])["tokens"],
        json!([metadata])
    );

    let (status, answer) = server.call("TokenService/GetToken", text, &json!({ "tokenId": id }));
    assert_eq!(status, 200, "{answer}");
    for (field, value) in answer["token"].as_object().unwrap() {
        assert_eq!(&metadata[field], value, "{field}");
    }

    assert_eq!(
        sandbox.json(&["token", "delete", id]),
        json!({ "deletedChildren": 0, "alreadyDeleted": false })
    );
    assert!(!server.accepts(text));
    sandbox.run(&["token", "get", id]).refused(1);
    server.stop();
}

#[test]
fn expiry_is_printed_and_the_servers_limits_apply() {
    let sandbox = Sandbox::with_machine();
    let token = sandbox.json(&[
        "token",
        "create",
        "ci-bot",
        "--expires=2100-01-01T00:00:00Z",
    ]);
    assert_eq!(token["metadata"]["expireTime"], "2100-01-01T00:00:00Z");
    let never = sandbox.json(&["token", "create", "ci-bot"]);
    assert!(never["metadata"].get("expireTime").is_none());
    sandbox
        .run(&[
            "token",
            "create",
            "ci-bot",
            "--expires=2001-01-01T00:00:00Z",
        ])
        .refused(1);
    sandbox
        .run(&["token", "create", "ci-bot", "--expires=tomorrow"])
        .refused(2);

    // Those of the last server, once it has stopped.
    let policies = [
        "--max-token-ttl=30d",
        "--max-tokens-per-user=3",
        "--token-prefix=acme",
    ];
    sandbox.serve(&policies).stop();
    let refusal = sandbox.run(&["token", "create", "ci-bot"]).refused(1);
    assert!(refusal.contains("at most 30d"), "{refusal}");
    let acme = sandbox.create_token("ci-bot", &["--expires=29d"]);
    assert!(acme.starts_with("acme_"), "{acme}");
    sandbox
        .run(&["token", "create", "ci-bot", "--expires=29d"])
        .refused(1);
}

#[test]
fn inspect_needs_no_database_and_no_argument() {
    let sandbox = Sandbox::with_machine();
    let text = sandbox.create_token("ci-bot", &[]);
    let elsewhere = Sandbox::empty();
    let ran = elsewhere.run_with(&["token", "inspect", "-", "--json"], &format!("{text}\n"));
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let id = id_of(&text);
    assert_eq!(told, json!({ "id": id, "prefix": "hallpass" }));
    let get = sandbox.print(&["token", "get", id]);
    let state = get.lines().find(|line| line.starts_with("State:"));
    assert!(state.is_some_and(|line| line.ends_with(" active")), "{get}");

    for bad in [&text[1..], &text[..80], "", "a_b_c"] {
        let refusal = elsewhere.run_with(&["token", "inspect"], bad).refused(1);
        assert!(bad.is_empty() || !refusal.contains(bad), "{refusal}");
    }
    let refusal = elsewhere.run(&["token", "inspect", &text]).refused(2);
    assert!(!refusal.contains(&text), "{refusal}");
}

#[test]
fn list_pages_through_everything_once() {
    let sandbox = Sandbox::with_machine();
    sandbox.create_token("ci-bot", &[]);
    // More than two pages of 250, inserted directly to save time.
    sandbox.tamper(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
         INSERT INTO tokens (id, user_id, hash, note, create_time, expire_time, scopes, allowed_cidrs,
             disabled, parent_id, family_id, delete_time)
         SELECT substr(id, 1, 18) || printf('%04d', i), user_id, hash, note,
             create_time + i / 7, expire_time, scopes, allowed_cidrs, disabled, parent_id, family_id,
             delete_time FROM n, tokens",
    );
    let ids = |args: &[&str]| -> Vec<String> {
        let list = sandbox.json(args)["tokens"].clone();
        let tokens = list.as_array().unwrap().iter();
        tokens
            .map(|token| token["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let rising = ids(&["token", "list", "ci-bot"]);
    assert_eq!(rising.len(), 601);
    let distinct: std::collections::HashSet<_> = rising.iter().collect();
    assert_eq!(distinct.len(), 601);
    let mut falling = ids(&["token", "list", "ci-bot", "--reverse"]);
    falling.reverse();
    assert_eq!(falling, rising);
}

#[test]
fn rotate_prints_only_the_successor_and_both_tokens_work() {
    let sandbox = Sandbox::with_machine();
    let server = sandbox.serve(&[]);
    let old = sandbox.create_token("ci-bot", &["--expires=90d", "--note=CI"]);
    let ran = sandbox.run(&["token", "rotate", id_of(&old), "--grace=1h"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let new = ran.stdout.strip_suffix('\n').unwrap();
    assert!(new.starts_with("hallpass_") && new.len() == 81, "{ran:?}");
    assert!(!ran.stderr.contains(new), "{ran:?}");
    assert!(ran.stderr.contains(id_of(&old)), "{ran:?}");
    assert!(server.accepts(&old) && server.accepts(new));
    let list = sandbox.print(&["token", "list", "ci-bot"]);
    assert!(
        list.contains("  active (rotated), ") && list.contains("  active, "),
        "{list}"
    );

    // As the API returns it.
    let told = sandbox.json(&["token", "rotate", id_of(new)]);
    assert!(!server.accepts(new));
    let last = told["token"].as_str().unwrap();
    assert!(server.accepts(last));
    assert_eq!(told["predecessor"]["id"], id_of(new));
    assert_eq!(told["predecessor"]["successorId"], id_of(last));
    assert_eq!(told["metadata"]["familyId"], id_of(&old));
    let get = json!({ "tokenId": id_of(last) });
    let (_, answer) = server.call("TokenService/GetToken", last, &get);
    for (field, value) in answer["token"].as_object().unwrap() {
        assert_eq!(&told["metadata"][field], value, "{field}");
    }
    let refusal = sandbox.run(&["token", "rotate", id_of(&old)]).refused(1);
    assert!(refusal.contains("already"), "{refusal}");
    let rotate = |arg| sandbox.run(&["token", "rotate", id_of(last), arg]);
    rotate("--expires=tomorrow").refused(2);
    rotate("--grace=soon").refused(2);
    rotate("--grace=400d").refused(1);
    let brief = sandbox.create_token("ci-bot", &["--expires=90d"]);
    let told = sandbox.json(&["token", "rotate", id_of(&brief), "--expires=never"]);
    assert_eq!(told["metadata"].get("expireTime"), None, "{told}");
    server.stop();
}

#[test]
fn token_can_be_described_narrowed_disabled_and_enabled() {
    let sandbox = Sandbox::with_machine();
    let server = sandbox.serve(&[]);
    let text = sandbox.create_token("ci-bot", &["--scope=a", "--scope=b"]);
    let of = |args: &[&str]| -> Value {
        let args = [&["token", args[0], id_of(&text)], &args[1..]].concat();
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
        .run(&["token", "update", id_of(&text), "--scope=b"])
        .refused(1);
    sandbox.run(&["token", "update", id_of(&text)]).refused(2);
    server.stop();
}

#[test]
fn token_is_explained_by_id_or_by_plaintext_on_stdin() {
    let sandbox = Sandbox::with_machine();
    let server = sandbox.serve(&[]);
    let text = sandbox.create_token("ci-bot", &["--note=not in a sentence"]);
    let told = sandbox.print(&["token", "explain", id_of(&text)]);
    let lines: Vec<_> = told.lines().collect();
    let first = [
        "The token is valid.",
        "  not revoked: yes",
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
    let by_id = sandbox.run_with(&explain, id_of(&text));
    let by_id: Value = serde_json::from_str(&by_id.stdout).unwrap();
    assert_eq!(by_id.get("plaintextMatches"), None);

    // As the API returns it, which omits default values.
    let message = json!({ "tokenId": id_of(&text) });
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
    let body = format!("hallpass_{}_{secret}", id_of(of));
    let mut crc = [0; 6];
    base62::encode([crc32fast::hash(body.as_bytes())], &mut crc);
    format!("{body}{}", str::from_utf8(&crc).unwrap())
}

#[test]
fn text_that_is_no_token_is_not_explained_or_echoed() {
    let sandbox = Sandbox::with_machine();
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

#[test]
fn ended_tokens_are_listed_with_how_they_have_ended() {
    let sandbox = Sandbox::with_machine();
    let [active, disabled, expired, revoked, rotated] = [(); 5].map(|()| {
        let text = sandbox.create_token("ci-bot", &["--expires=90d"]);
        id_of(&text).to_owned()
    });
    sandbox.print(&["token", "disable", &disabled]);
    sandbox.print(&["token", "delete", &revoked]);
    sandbox.run(&["token", "rotate", &rotated]);
    sandbox.tamper(&format!(
        "UPDATE tokens SET expire_time = 1 WHERE id = '{expired}'"
    ));
    let list = |more: &[&str]| sandbox.print(&[&["token", "list", "ci-bot"], more].concat());
    let state = |list: &str, id: &str| {
        let line = list.lines().find(|line| line.starts_with(id));
        line.map(|line| line[id.len()..].trim_start().to_owned())
    };
    let plain = list(&[]);
    assert_eq!(plain.lines().count(), 1 + 3, "{plain}");
    let all = list(&["--include-ended"]);
    assert_eq!(all.lines().count(), 1 + 6, "{all}");
    for (id, expected, is_live) in [
        (&active, "active, ", true),
        (&disabled, "disabled, ", true),
        (&expired, "expired ", false),
        (&revoked, "revoked ", false),
        (&rotated, "rotated ", false),
    ] {
        let told = state(&all, id).unwrap();
        assert!(told.starts_with(expected), "{expected}: {told}");
        assert_eq!(state(&plain, id).is_some(), is_live, "{expected}");
    }
    sandbox
        .run(&["token", "list", "--all", "--include-ended"])
        .refused(2);
}
