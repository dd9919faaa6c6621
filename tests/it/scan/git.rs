//! Git history.

use std::process::Command;

use serde_json::{Value, json};

use crate::cli::sandbox::{Ran, Sandbox};

use super::{id, shown, token, write};

/// Runs `git` in the sandbox's folder `repo`, and gives what it prints.
fn git(sandbox: &Sandbox, args: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=n",
            "-c",
            "user.email=e@example.com",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(args)
        .current_dir(sandbox.path("repo"))
        .env_remove("GIT_DIR")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with one commit.
fn repository() -> Sandbox {
    let sandbox = Sandbox::empty();
    write(&sandbox, "repo/README", "nothing here\n");
    git(&sandbox, &["init", "--quiet", "--initial-branch=main"]);
    commit(&sandbox, "first");
    sandbox
}

/// Commits all there is, and gives the commit's ID.
fn commit(sandbox: &Sandbox, message: &str) -> String {
    git(sandbox, &["add", "--all"]);
    git(sandbox, &["commit", "--quiet", "--message", message]);
    git(sandbox, &["rev-parse", "HEAD"])
}

fn scan(sandbox: &Sandbox, args: &[&str]) -> Ran {
    sandbox.run(&[&["scan", "--git", "repo"], args].concat())
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn a_token_is_found_in_each_commit_that_brought_it_after_it_was_deleted() {
    let sandbox = repository();
    let token = token("hallpass");
    assert!(scan(&sandbox, &[]).found(0).is_empty());
    write(&sandbox, "repo/a b/.env", format!("x\nTOKEN={token}\n"));
    let first = commit(&sandbox, "leak");
    git(&sandbox, &["rm", "--quiet", "a b/.env"]);
    commit(&sandbox, "delete");
    write(&sandbox, "repo/again", format!("x\nTOKEN={token}\n"));
    let second = commit(&sandbox, "leak again");
    git(&sandbox, &["rm", "--quiet", "again"]);
    let last = commit(&sandbox, "delete again");
    assert!(sandbox.run(&["scan", "repo"]).found(0).is_empty());

    let shown = shown(&token);
    let mut expected = [
        format!("{first}:a b/.env:2:7: {shown}"),
        format!("{second}:again:2:7: {shown}"),
    ];
    expected.sort();
    let ran = scan(&sandbox, &[]);
    assert_eq!(ran.found(1), expected);
    // README, the two files, which are one blob, and five commits.
    assert!(
        ran.stderr
            .contains("found: 1, in places: 2; searched: 7 objects"),
        "{ran:?}"
    );

    let object = git(&sandbox, &["rev-parse", &format!("{last}~1:again")]);
    let ran = scan(&sandbox, &["--json"]);
    let newest: Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    let expected = json!({
        "commit": second, "object": object, "path": "again", "line": 2, "column": 7, "offset": 8,
        "prefix": "hallpass", "tokenId": id(&token),
    });
    assert_eq!(newest, expected);
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn branches_tags_merges_and_messages_are_history_too() {
    let sandbox = repository();
    let tokens: Vec<_> = (0..5).map(|_| token("hallpass")).collect();
    git(&sandbox, &["checkout", "--quiet", "-b", "side"]);
    write(&sandbox, "repo/side", &tokens[0]);
    let side = commit(&sandbox, "side");
    git(&sandbox, &["checkout", "--quiet", "main"]);
    let message = commit_empty(&sandbox, &format!("use {}", tokens[1]));
    git(&sandbox, &["merge", "--quiet", "--no-commit", "side"]);
    write(&sandbox, "repo/merged", &tokens[2]);
    let merge = commit(&sandbox, "merge");
    git(
        &sandbox,
        &["tag", "--annotate", "v1", "--message", &tokens[3]],
    );
    let tag = git(&sandbox, &["rev-parse", "v1"]);
    write(&sandbox, "repo/loose", &tokens[4]);
    let blob = git(&sandbox, &["hash-object", "-w", "loose"]);
    git(&sandbox, &["tag", "blob", &blob]);

    let lines = scan(&sandbox, &[]).found(1);
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let is_there = |place: &str, token: &str| {
        let token = shown(token);
        let there = lines
            .iter()
            .any(|line| line.starts_with(place) && line.ends_with(&token));
        assert!(there, "{place} {token}: {lines:#?}");
    };
    is_there(&format!("{side}:side:1:1: "), &tokens[0]);
    is_there(&format!("{message}:"), &tokens[1]);
    is_there(&format!("{merge}:merged:1:1: "), &tokens[2]);
    is_there(&format!("{tag}:"), &tokens[3]);
    is_there(&format!("{blob}:1:1: "), &tokens[4]);
}

fn commit_empty(sandbox: &Sandbox, message: &str) -> String {
    git(
        sandbox,
        &["commit", "--quiet", "--allow-empty", "--message", message],
    );
    git(sandbox, &["rev-parse", "HEAD"])
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn many_objects_of_all_sizes_are_each_searched_once() {
    let sandbox = repository();
    let token = token("hallpass");
    for n in 0..500_usize {
        let fill = format!("{n}\n").repeat(n * 7 % 600);
        write(
            &sandbox,
            &format!("repo/d{}/f{n}", n % 9),
            format!("{fill}{token}\n{fill}"),
        );
    }
    write(
        &sandbox,
        "repo/huge",
        format!("{}{token}", "line\n".repeat(400_000)),
    );
    write(&sandbox, "repo/empty", "");
    let commit = commit(&sandbox, "many");
    let lines = scan(&sandbox, &[]).found(1);
    assert_eq!(lines.len(), 501);
    assert!(lines.contains(&format!("{commit}:huge:400001:1: {}", shown(&token))));
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn what_a_shallow_clone_lacks_is_told_of() {
    let sandbox = repository();
    commit_empty(&sandbox, "second");
    let from = format!("file://{}", sandbox.path("repo").display());
    git(
        &sandbox,
        &["clone", "--quiet", "--depth=1", &from, "../shallow"],
    );
    let ran = sandbox.run(&["scan", "--git", "shallow"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("a shallow clone"), "{ran:?}");
    assert!(!scan(&sandbox, &[]).stderr.contains("shallow"));
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn what_is_no_repository_is_refused_in_gits_words() {
    let sandbox = Sandbox::empty();
    let mut command = sandbox.command(&["scan", "--git"]);
    // No repository that this folder may be in counts.
    command.env(
        "GIT_CEILING_DIRECTORIES",
        sandbox.path("").parent().unwrap(),
    );
    let refusal = Ran::of(command).refused(14);
    assert!(refusal.contains("not a git repository"), "{refusal}");
}

#[test]
fn without_git_the_refusal_says_so() {
    let sandbox = Sandbox::empty();
    let mut command = sandbox.command(&["scan", "--git"]);
    command.env("PATH", sandbox.path("nowhere"));
    let refusal = Ran::of(command).refused(14);
    assert!(refusal.contains("not installed"), "{refusal}");
}
