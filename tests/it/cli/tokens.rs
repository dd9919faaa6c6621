//! `hallpass token`.

use serde_json::{Value, json};

use super::sandbox::Sandbox;

fn with_machine() -> Sandbox {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    sandbox
}

#[test]
fn create_prints_only_the_plaintext_and_never_again() {
    let sandbox = with_machine();
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
    let sandbox = with_machine();
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
    let sandbox = with_machine();
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
    let sandbox = with_machine();
    let text = sandbox.create_token("ci-bot", &[]);
    let elsewhere = Sandbox::empty();
    let ran = elsewhere.run_with(&["token", "inspect", "-", "--json"], &format!("{text}\n"));
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let id = text.split('_').nth(1).unwrap();
    assert_eq!(told, json!({ "id": id, "prefix": "hallpass" }));
    let get = sandbox.print(&["token", "get", id]);
    let state = get.lines().find(|line| line.starts_with("State:"));
    assert!(state.is_some_and(|line| line.ends_with(" live")), "{get}");

    for bad in [&text[1..], &text[..80], "", "a_b_c"] {
        let refusal = elsewhere.run_with(&["token", "inspect"], bad).refused(1);
        assert!(bad.is_empty() || !refusal.contains(bad), "{refusal}");
    }
    let refusal = elsewhere.run(&["token", "inspect", &text]).refused(2);
    assert!(!refusal.contains(&text), "{refusal}");
}

#[test]
fn list_pages_through_everything_once() {
    let sandbox = with_machine();
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
