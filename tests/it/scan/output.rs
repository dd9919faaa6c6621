//! What is printed, and the exit code.

use serde_json::{Value, json};

use super::{token, write};
use crate::{cli::sandbox::Sandbox, test_app::id_of};

#[test]
fn json_is_one_object_per_line() {
    let sandbox = Sandbox::empty();
    let tokens = [token("hallpass"), token("acme")];
    write(&sandbox, "a.txt", format!("é {}\n{}", tokens[0], tokens[1]));
    let ran = sandbox.run(&["scan", "a.txt", "--json"]);
    assert_eq!(ran.code, 1);
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected = json!([
        { "path": "a.txt", "line": 1, "column": 4, "offset": 3, "prefix": "hallpass", "tokenId": id_of(&tokens[0]) },
        { "path": "a.txt", "line": 2, "column": 1, "offset": 85, "prefix": "acme", "tokenId": id_of(&tokens[1]) },
    ]);
    assert_eq!(json!(lines), expected);
}

#[test]
fn no_secret_is_ever_printed() {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "bot", "--owner=admin"]);
    let tokens = [
        sandbox.create_token("bot", &[]),
        token("hallpass"),
        token("acme"),
    ];
    write(&sandbox, "leaks/file", tokens.join("\n"));
    write(
        &sandbox,
        &format!("leaks/{}/{0}.txt", tokens[0]),
        tokens.concat(),
    );
    let away = format!("leaks/{}", tokens[1]);
    for args in [
        &["scan", "leaks", &away][..],
        &["scan", "leaks", &away, "--json"],
        &["scan", "--git", &away],
        &["scan", "leaks", "--revoke"],
        &["scan", "leaks", "--revoke", "--yes"],
        &["scan", "leaks", "--revoke", "--yes", "--json"],
    ] {
        let ran = sandbox.run(args);
        assert_ne!(ran.code, 0, "{ran:?}");
        for token in &tokens {
            let secret = token.rsplit('_').next().unwrap();
            for output in [&ran.stdout, &ran.stderr] {
                assert!(!output.contains(secret), "{args:?}: {ran:?}");
                // Nor a large part of it.
                assert!(!output.contains(&secret[..20]), "{args:?}: {ran:?}");
            }
        }
    }
}

#[test]
fn unreadable_files_are_reported_counted_and_set_the_exit_code() {
    let sandbox = Sandbox::empty();
    write(&sandbox, "clean", "nothing");
    write(&sandbox, "leak", token("hallpass"));
    let ran = sandbox.run(&["scan", "clean", "away"]);
    assert_eq!((ran.code, &*ran.stdout), (14, ""), "{ran:?}");
    assert!(
        ran.stderr
            .contains("hallpass: cannot search away: No such file"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("not searched: 1"), "{ran:?}");
    let ran = sandbox.run(&["scan", "away", "leak"]);
    assert_eq!(ran.found(1).len(), 1, "findings determine the exit code");
    assert!(ran.stderr.contains("not searched: 1"), "{ran:?}");
}

#[test]
fn without_a_terminal_there_is_one_summary_line_and_no_progress() {
    let sandbox = Sandbox::empty();
    write(&sandbox, "leak", token("hallpass"));
    let ran = sandbox.run(&["scan", "leak"]);
    let summary = "tokens found: 1, in places: 1; searched: 1 files, 81 B\n";
    assert_eq!(ran.stderr, summary);
}

#[test]
fn missing_search_target_is_a_usage_error() {
    let sandbox = Sandbox::empty();
    sandbox.run(&["scan"]).refused(2);
    sandbox.run(&["scan", "--git", "--no-ignore"]).refused(2);
    sandbox.run(&["scan", "--git", "--exclude=a"]).refused(2);
}
