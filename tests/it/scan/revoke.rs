//! Revoking what was found, as a client of a running server.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use hallpass::domain::{
    id::TokenId,
    token_text::{TokenPrefix, TokenText},
};
use serde_json::{Value, json};

use super::{
    git::{commit, git, repository},
    hostile_git::commit_bomb,
    shown, token, write,
};
use crate::{
    cli::sandbox::{Sandbox, Serving},
    test_app::id_of,
};

fn with_machine() -> (Sandbox, Serving) {
    with_machine_in(Sandbox::empty())
}

fn with_machine_in(sandbox: Sandbox) -> (Sandbox, Serving) {
    let server = sandbox.serve(&[]);
    sandbox.print(&["machine", "create", "bot", "--owner=admin"]);
    (sandbox, server)
}

/// The IDs that were revoked as leaked, according to the audit log.
fn recorded(sandbox: &Sandbox) -> Vec<String> {
    let events = sandbox.json(&["audit", "list"])["events"].clone();
    let events = events.as_array().unwrap().iter();
    events
        .filter(|event| event["action"] == "token.revoke_leaked")
        .map(|event| event["target"].as_str().unwrap().to_owned())
        .collect()
}

fn child(server: &Serving, parent: &str) -> String {
    let (status, answer) = server.call("TokenService/CreateToken", parent, &json!({}));
    assert_eq!(status, 200, "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

#[test]
fn leaked_token_is_revoked_with_its_family_and_nothing_else() {
    let (sandbox, server) = with_machine();
    let new = || sandbox.create_token("bot", &[]);
    let (first, leaked, other) = (new(), new(), new());
    sandbox.tamper(&format!(
        "UPDATE tokens SET family_id = '{}' WHERE id = '{}'",
        id_of(&first),
        id_of(&leaked)
    ));
    let children = [child(&server, &first), child(&server, &leaked)];
    let others_child = child(&server, &other);
    let dead = new();
    sandbox.print(&["token", "delete", id_of(&dead)]);
    let unknown = token("hallpass");
    let other_id = TokenId::parse(id_of(&other)).unwrap();
    let made_up = TokenText::generate(&TokenPrefix::default(), other_id);
    let found = [&leaked, &dead, &unknown, made_up.expose(), &leaked];
    write(
        &sandbox,
        "leaks/config",
        found.map(|token| format!("token: {token}\n")).concat(),
    );

    // Without a terminal for the prompt it does not even search.
    let refusal = sandbox.run(&["scan", "leaks", "--revoke"]).refused(2);
    assert!(refusal.contains("--yes"), "{refusal}");
    assert!(server.accepts(&leaked));

    let ran = sandbox.run(&["scan", "leaks", "--revoke", "--yes"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let family = [&first, &leaked, &children[0], &children[1]];
    for token in family {
        assert!(!server.accepts(token));
    }
    assert!(server.accepts(&other) && server.accepts(&others_child));

    let mut lines: Vec<_> = ran.stdout.lines().skip(5).map(str::to_owned).collect();
    let mut expected = vec![
        format!("{}: revoked", id_of(&leaked)),
        format!("{}: already deleted or expired", id_of(&dead)),
        format!("{}: unknown here", id_of(&unknown)),
        format!(
            "{}: the ID is known here, with another secret",
            id_of(&other)
        ),
    ];
    let rest = [&first, &children[0], &children[1]];
    expected.extend(rest.map(|token| format!("{}: revoked with its family", id_of(token))));
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);

    let mut recorded = recorded(&sandbox);
    recorded.sort();
    let mut ids = family.map(|token| id_of(token).to_owned());
    ids.sort();
    assert_eq!(recorded, ids);
    sandbox.print(&["audit", "verify"]);
    server.stop();
}

#[test]
fn family_of_an_already_ended_token_survives() {
    let (sandbox, server) = with_machine();
    let (old, new) = (
        sandbox.create_token("bot", &[]),
        sandbox.create_token("bot", &[]),
    );
    sandbox.tamper(&format!(
        "UPDATE tokens SET family_id = '{}' WHERE id = '{}'",
        id_of(&old),
        id_of(&new)
    ));
    sandbox.print(&["token", "delete", id_of(&old)]);
    write(&sandbox, "leak", &old);
    let ran = sandbox.run(&["scan", "leak", "--revoke", "--yes", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let last: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last, json!({ "tokenId": id_of(&old), "outcome": "dead" }));
    assert!(server.accepts(&new));
    assert!(recorded(&sandbox).is_empty());
    server.stop();
}

#[test]
fn family_larger_than_a_transaction_is_revoked_completely_with_a_row_each() {
    let (sandbox, server) = with_machine();
    let (leaked, more) = (
        sandbox.create_token("bot", &[]),
        sandbox.create_token("bot", &[]),
    );
    sandbox.tamper(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2400)
         INSERT INTO tokens (id, user_id, hash, note, create_time, expire_time, scopes, allowed_cidrs, disabled,
             parent_id, family_id, delete_time)
         SELECT substr(id, 1, 18) || printf('%04d', i), user_id, hash, note, create_time, expire_time, scopes,
             allowed_cidrs, disabled, id, substr(id, 1, 18) || printf('%04d', i), delete_time
         FROM n, tokens WHERE id = '{}'",
        id_of(&leaked)
    ));
    write(&sandbox, "leak", [leaked.as_str(), &more].join("\n"));
    let ran = sandbox.run(&["scan", "leak", "--revoke", "--yes"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stdout.matches(": revoked").count(), 2_402);
    assert_eq!(recorded(&sandbox).len(), 2_402);
    assert!(!server.accepts(&leaked) && !server.accepts(&more));
    assert_eq!(sandbox.json(&["token", "list", "bot"])["tokens"], json!([]));
    server.stop();
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn token_is_revoked_before_the_slow_search_for_its_commits() {
    let (sandbox, server) = with_machine_in(repository());
    let leaked = sandbox.create_token("bot", &[]);
    write(&sandbox, "repo/leak", &leaked);
    commit(&sandbox, "leak");
    // Git sees many files without a token.
    commit_bomb(&sandbox, "README");
    let mut command = sandbox.command(&["scan", "--git", "repo", "--revoke", "--yes"]);
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("TMPDIR", sandbox.path(""))
        .stdout(Stdio::piped());
    let mut scan = command.spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(scan.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, format!("{}: revoked\n", id_of(&leaked)));
    assert!(!server.accepts(&leaked));
    // The control: the search for commits is still running.
    assert!(scan.try_wait().unwrap().is_none());
    scan.kill().unwrap();
    scan.wait().unwrap();
    server.stop();
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn token_is_revoked_even_if_its_commits_cannot_be_found() {
    let (sandbox, server) = with_machine_in(repository());
    let leaked = sandbox.create_token("bot", &[]);
    write(&sandbox, "repo/leak", &leaked);
    commit(&sandbox, "leak");
    let blob = git(&sandbox, &["rev-parse", "HEAD:leak"]);
    let tree = git(&sandbox, &["rev-parse", "HEAD^{tree}"]);
    let path = format!("repo/.git/objects/{}/{}", &tree[..2], &tree[2..]);
    fs::remove_file(sandbox.path(&path)).unwrap();
    let ran = sandbox.run(&["scan", "--git", "repo", "--revoke", "--yes"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("not all commits"), "{ran:?}");
    let id = id_of(&leaked);
    let found = format!("{blob}:1:1: {}", shown(&leaked));
    assert_eq!(ran.stdout, format!("{id}: revoked\n{found}\n"));
    assert!(!server.accepts(&leaked));
    server.stop();
}

#[test]
fn missing_database_is_refused_before_the_search() {
    let sandbox = Sandbox::empty();
    write(&sandbox, "leak", token("hallpass"));
    sandbox
        .run(&["scan", "leak", "--revoke", "--yes"])
        .refused(3);
}

#[test]
fn refused_revocation_is_reported() {
    let (sandbox, server) = with_machine();
    let leaked = sandbox.create_token("bot", &[]);
    write(&sandbox, "leak", &leaked);
    let limited = sandbox.create_token("admin", &["--scope=hallpass:tokens:read"]);
    let address = format!("--server=http://{}", server.address);
    let mut command = sandbox.command(&["scan", "leak", "--revoke", "--yes", &address]);
    command.env("HALLPASS_TOKEN", limited);
    let ran = crate::cli::sandbox::Ran::of(command);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("lacks the scope"), "{ran:?}");
    assert!(server.accepts(&leaked));
}
