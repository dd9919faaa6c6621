//! `hallpass token revoke` and `hallpass token list --all`.

use hallpass::domain::{
    clock::{Clock, SystemClock},
    id::TokenId,
    token_text::{TokenPrefix, TokenText},
};
use serde_json::{Value, json};

use super::sandbox::{Ran, Sandbox};
use crate::test_app::id_of;

/// Sets up two machines, each with a token of the scope `deploy`; returns the plaintexts.
fn with_two() -> (Sandbox, [String; 2]) {
    let sandbox = Sandbox::set_up();
    let tokens = ["ci-bot", "other"].map(|name| {
        sandbox.print(&["machine", "create", name, "--owner=admin"]);
        sandbox.create_token(name, &["--scope=deploy"])
    });
    (sandbox, tokens)
}

fn live(sandbox: &Sandbox) -> Value {
    sandbox.json(&["token", "list", "--all", "--count"])["liveCount"].clone()
}

fn answer(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn dry_run_lists_and_the_run_revokes_what_the_flags_select() {
    let (sandbox, [first, second]) = with_two();
    let server = sandbox.serve(&[]);
    let plan = sandbox.print(&["token", "revoke", "--user=ci-bot", "--dry-run"]);
    assert!(plan.contains("would revoke 1 token,"), "{plan}");
    assert!(plan.contains(id_of(&first)), "{plan}");
    assert!(server.accepts(&first));

    let unasked = sandbox.run(&["token", "revoke", "--user=ci-bot"]);
    let refusal = unasked.refused(2);
    assert!(refusal.contains("--yes"), "{refusal}");
    assert!(server.accepts(&first));
    let told = sandbox.print(&["token", "revoke", "--user=ci-bot", "--yes"]);
    assert!(told.contains("revoked 1 token;"), "{told}");
    assert!(!server.accepts(&first) && server.accepts(&second));
    let told = sandbox.json(&[
        "token",
        "revoke",
        "--scope=deploy",
        "--created-after=1h",
        "--yes",
    ]);
    assert_eq!(
        (&told["tokenCount"], &told["childCount"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(told["firstTokens"][0]["id"], id_of(&second));
    assert_eq!(live(&sandbox), 0);
    let none = sandbox.print(&["token", "revoke", "--unused-since=90d", "--yes"]);
    assert!(none.contains("revoked 0 tokens"), "{none}");
    server.stop();
}

#[test]
fn ids_are_arguments_and_plaintexts_come_only_from_stdin() {
    let (sandbox, [first, second]) = with_two();
    let refusal = sandbox
        .run(&["token", "revoke", "--yes", &first])
        .refused(2);
    assert!(!refusal.contains(&first), "{refusal}");
    assert_eq!(live(&sandbox), 2);

    let forged = format!("{}\n\n", &first[..80]);
    let told = sandbox.run_with(&["token", "revoke", "-", "--yes", "--json"], &forged);
    let told_json: Value = serde_json::from_str(&told.stdout).unwrap();
    let [revoked, malformed] = ["REVOCATION_OUTCOME_REVOKED", "REVOCATION_OUTCOME_MALFORMED"];
    assert_eq!(told_json["outcomes"], json!([malformed]));
    assert_eq!(told.code, 1, "{told:?}");
    assert_eq!(live(&sandbox), 2);
    let pasted = format!("  {first}\r\nnonsense\n\n{first}\n");
    let args = ["token", "revoke", id_of(&second), "-", "--yes", "--json"];
    let told = sandbox.run_with(&args, &pasted);
    let told_json = answer(&told);
    assert_eq!(
        told_json["outcomes"],
        json!([revoked, revoked, malformed, revoked])
    );
    assert_eq!(told_json["tokenCount"], 2);
    assert!(!told.stdout.contains(&first) && !told.stderr.contains(&first));
    assert_eq!(live(&sandbox), 0);
    let told = sandbox.run_with(&["token", "revoke", "-", "--yes"], &pasted);
    assert!(
        told.stdout.contains("deleted or expired before: 2"),
        "{told:?}"
    );
    let malformed = "line 2 of stdin: not a token: mistyped or truncated";
    assert!(told.stdout.contains(malformed), "{told:?}");
    assert_eq!(told.code, 0, "every token of this server has ended");
}

#[test]
fn incomplete_command_revokes_nothing() {
    let (sandbox, _) = with_two();
    for args in [
        &["token", "revoke", "--yes"][..],
        &["token", "revoke", "--state=live", "--yes"],
    ] {
        sandbox.run(args).refused(2);
    }
    // An empty list beside a filter must not mean the filter alone.
    let empty = sandbox.run_with(
        &["token", "revoke", "--scope=deploy", "-", "--yes"],
        "\n \n",
    );
    empty.refused(1);
    sandbox
        .run(&["token", "revoke", "--created-before=tomorrow", "--yes"])
        .refused(2);
    sandbox
        .run(&["token", "revoke", "--user=nobody", "--yes"])
        .refused(1);
    assert_eq!(live(&sandbox), 2);
}

#[test]
fn list_longer_than_one_call_is_revoked_completely() {
    let (sandbox, [first, second]) = with_two();
    let pasted = format!("{first}\n{}{second}\n", "nonsense\n".repeat(1_200));
    let told = answer(&sandbox.run_with(&["token", "revoke", "-", "--yes", "--json"], &pasted));
    assert_eq!(told["tokenCount"], 2);
    assert_eq!(told["outcomes"].as_array().unwrap().len(), 1_202);
    assert_eq!(told["outcomes"][1_201], "REVOCATION_OUTCOME_REVOKED");
    assert_eq!(live(&sandbox), 0);
}

#[test]
fn listing_and_counting_take_the_same_flags() {
    let (sandbox, [first, second]) = with_two();
    sandbox.create_token("other", &["--expires=1h"]);
    sandbox.tamper(&format!(
        "UPDATE tokens SET disabled = 1 WHERE id = '{}'",
        id_of(&second)
    ));
    let ids = |flags: &[&str]| -> Vec<String> {
        let list = sandbox.json(&[&["token", "list", "--all"], flags].concat());
        let tokens = list["tokens"].as_array().unwrap().iter();
        tokens
            .map(|token| token["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&[]).len(), 3);
    assert_eq!(ids(&["--scope=deploy"]), [id_of(&first), id_of(&second)]);
    assert_eq!(
        ids(&["--scope=deploy", "--reverse", "--limit=1"]),
        [id_of(&second)]
    );
    assert_eq!(ids(&["--user=ci-bot"]), [id_of(&first)]);
    assert_eq!(ids(&["--state=disabled"]), [id_of(&second)]);
    assert_eq!(ids(&["--expires-before=2h"]).len(), 1);
    assert_eq!(ids(&["--expires-before=30m"]).len(), 0);
    assert_eq!(ids(&["--never-expires"]).len(), 2);
    let counts = sandbox.json(&["token", "list", "--all", "--count", "--user=other"]);
    assert_eq!(
        counts,
        json!({ "liveCount": 1, "disabledCount": 1, "expiredCount": 0 })
    );
    let table = sandbox.print(&["token", "list", "--all", "--count"]);
    assert!(table.contains("Disabled:  1"), "{table}");
    let table = sandbox.print(&["token", "list", "--all"]);
    assert!(
        table.contains("USER") && table.contains("disabled"),
        "{table}"
    );
    sandbox.run(&["token", "list"]).refused(2);
    sandbox.run(&["token", "list", "other", "--all"]).refused(2);
    sandbox
        .run(&["token", "list", "other", "--never-expires"])
        .refused(2);
}

#[test]
fn plaintexts_beyond_one_request_are_revoked_in_several_requests() {
    let (sandbox, [first, second]) = with_two();
    let prefix = TokenPrefix::parse("sixteen0long0pre").unwrap();
    let unknown = || {
        let id = TokenId::generate(SystemClock.now());
        TokenText::generate(&prefix, id).expose().to_owned()
    };
    let mut named: Vec<_> = (0..1_200).map(|_| unknown()).collect();
    named.insert(0, first.clone());
    named.push(second.clone());
    let revoke = ["token", "revoke", "-", "--yes"];
    let check = || {
        let ran = sandbox.run_with(&revoke, &named.join("\n"));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains(": 1200"), "{ran:?}");
    };
    let server = sandbox.serve(&[]);
    check();
    assert!(!server.accepts(&first) && !server.accepts(&second));
    server.stop();
    check();
}

#[test]
fn revocation_that_matches_nothing_fails_and_reports_each_item() {
    let (sandbox, [first, second]) = with_two();
    let forged = TokenText::generate(
        &TokenPrefix::default(),
        TokenId::parse(id_of(&first)).unwrap(),
    );
    let unknown = TokenId::generate(SystemClock.now()).to_string();
    let pasted = format!("{}\n{unknown}\n{}\n", forged.expose(), &second[..80]);
    for flags in [&["--yes"][..], &["--dry-run"]] {
        let args = [&["token", "revoke", "-"], flags].concat();
        let ran = sandbox.run_with(&args, &pasted);
        assert_eq!(ran.code, 1, "{ran:?}");
        let told = ran.stderr.lines().last().unwrap();
        assert!(told.starts_with("hallpass: nothing w"), "{told}");
        for line in [
            format!(
                "{}: the ID is known here, with another secret",
                id_of(&first)
            ),
            format!("{unknown}: unknown here"),
            "line 3 of stdin: not a token: mistyped or truncated".to_owned(),
        ] {
            assert!(
                ran.stdout.lines().any(|told| told == line),
                "{line}: {ran:?}"
            );
        }
    }
    let named = sandbox.run(&["token", "revoke", &unknown, "--yes"]);
    assert_eq!(named.code, 1, "{named:?}");
    assert_eq!(live(&sandbox), 2);
    // A partial success succeeds and reports each item.
    let pasted = format!("{first}\n{unknown}\n");
    let ran = sandbox.run_with(&["token", "revoke", "-", "--yes"], &pasted);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout
            .contains(&format!("{}: revoked\n", id_of(&first)))
    );
    assert!(ran.stdout.contains(&format!("{unknown}: unknown here\n")));
    // A repeat reports that it has already ended.
    let ran = sandbox.run_with(&["token", "revoke", "-", "--yes"], &first);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(live(&sandbox), 1);
}

#[test]
fn lists_in_any_format_are_read_and_each_token_ends_with_its_family() {
    let (sandbox, [first, second]) = with_two();
    let third = sandbox.create_token("other", &[]);
    let args = ["token", "rotate", id_of(&first), "--grace=1h"];
    let successor = sandbox.print(&args).trim_end().to_owned();
    let server = sandbox.serve(&[]);
    let pasted = format!(
        "[\n  \"{first}\", '{}',\r\n]\n\u{feff}HALLPASS_TOKEN={second}\n",
        id_of(&third)
    );
    let ran = sandbox.run_with(&["token", "revoke", "-", "--yes", "--json"], &pasted);
    let told = answer(&ran);
    assert_eq!(told["tokenCount"], 3, "{told}");
    assert_eq!(told["familyCount"], 1);
    let ids = json!([id_of(&first), id_of(&third), id_of(&second)]);
    assert_eq!(told["tokenIds"], ids);
    for dead in [&first, &successor, &second, &third] {
        assert!(!server.accepts(dead));
    }
    // A JSON record of a token means that token only, not others whose IDs it contains.
    let [child, parent] = [(); 2].map(|()| sandbox.create_token("other", &[]));
    let record = format!(
        "{{\"token\": \"{child}\", \"parent_id\": \"{}\"}}",
        id_of(&parent)
    );
    let ran = sandbox.run_with(&["token", "revoke", "-", "--yes"], &record);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!server.accepts(&child) && server.accepts(&parent));
    server.stop();
}

#[test]
fn text_pasted_around_a_plaintext_is_ignored() {
    let (sandbox, [first, _]) = with_two();
    let pasted = format!("\u{feff}Bearer {first},\r\n");
    for command in ["inspect", "explain"] {
        let ran = sandbox.run_with(&["token", command, "-"], &pasted);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!ran.stdout.contains(&first[32..]));
    }
}

#[test]
fn expiring_tokens_are_listed_soonest_first_for_one_user_and_for_all() {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    for (user, expires) in [
        ("admin", "6d12h"),
        ("ci-bot", "5d12h"),
        ("ci-bot", "2d12h"),
        ("admin", "3d12h"),
        ("admin", "never"),
        ("ci-bot", "30d"),
    ] {
        let (expires, note) = (format!("--expires={expires}"), format!("--note={expires}"));
        sandbox.create_token(user, &[&expires, &note]);
    }
    let lines = |args: &[&str]| {
        let table = sandbox.print(&[&["token", "list"], args].concat());
        let lines = table.lines().skip(1);
        let notes = lines.map(|line| line.split_whitespace().last().unwrap().to_owned());
        (notes.collect::<Vec<_>>(), table)
    };
    let (own, table) = lines(&["admin", "--expiring=7d"]);
    assert_eq!(own, ["3d12h", "6d12h"], "{table}");
    assert!(table.contains("active, 3d left"), "{table}");
    let (all, _) = lines(&["--all", "--expiring", "7d"]);
    assert_eq!(all, ["2d12h", "3d12h", "5d12h", "6d12h"]);
    let (machines, _) = lines(&["--all", "--user=ci-bot", "--expiring=7d", "--reverse"]);
    assert_eq!(machines, ["5d12h", "2d12h"]);
    let (first, _) = lines(&["--all", "--expiring=7d", "--limit=1"]);
    assert_eq!(first, ["2d12h"]);
    let counts = sandbox.json(&["token", "list", "--all", "--count", "--expiring=3d"]);
    assert_eq!(counts["liveCount"], 1);
    for wrong in [
        &["--expiring=2020-01-01"][..],
        &["--expiring=soon"],
        &["--expiring=7d", "--never-expires"],
    ] {
        let ran = sandbox.run(&[&["token", "list", "--all"], wrong].concat());
        let told = ran.refused(2);
        assert!(told.contains("--expiring"), "{told}");
    }
}
