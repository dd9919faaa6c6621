//! Git history.

use std::process::Command;

use serde_json::{Value, json};

use super::{shown, token, write};
use crate::{
    cli::sandbox::{Ran, Sandbox},
    test_app::id_of,
};

/// Runs `git` in the sandbox's folder `repo` and returns its output.
pub(super) fn git(sandbox: &Sandbox, args: &[&str]) -> String {
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
pub(super) fn repository() -> Sandbox {
    let sandbox = Sandbox::empty();
    write(&sandbox, "repo/README", "nothing here\n");
    git(&sandbox, &["init", "--quiet", "--initial-branch=main"]);
    commit(&sandbox, "first");
    sandbox
}

/// Commits everything and returns the commit's ID.
pub(super) fn commit(sandbox: &Sandbox, message: &str) -> String {
    git(sandbox, &["add", "--all"]);
    git(sandbox, &["commit", "--quiet", "--message", message]);
    git(sandbox, &["rev-parse", "HEAD"])
}

pub(super) fn scan(sandbox: &Sandbox, args: &[&str]) -> Ran {
    sandbox.run(&[&["scan", "--git", "repo"], args].concat())
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn token_is_found_in_each_commit_that_added_it() {
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
    let line = ran.stdout.lines().find(|line| line.contains(&second));
    let again: Value = serde_json::from_str(line.unwrap()).unwrap();
    let expected = json!({
        "commit": second, "object": object, "path": "again", "line": 2, "column": 7, "offset": 8,
        "prefix": "hallpass", "tokenId": id_of(&token),
    });
    assert_eq!(again, expected);
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn branches_tags_merges_and_messages_are_searched() {
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

pub(super) fn commit_empty(sandbox: &Sandbox, message: &str) -> String {
    git(
        sandbox,
        &["commit", "--quiet", "--allow-empty", "--message", message],
    );
    git(sandbox, &["rev-parse", "HEAD"])
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn every_object_is_searched_once() {
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
fn history_missing_from_a_shallow_clone_is_reported() {
    let sandbox = repository();
    commit_empty(&sandbox, "second");
    let from = format!("file://{}", sandbox.path("repo").display());
    git(
        &sandbox,
        &["clone", "--quiet", "--depth=1", &from, "../shallow"],
    );
    let ran = sandbox.run(&["scan", "--git", "shallow"]);
    assert_eq!(ran.code, 14, "{ran:?}");
    assert!(ran.stderr.contains("a shallow clone"), "{ran:?}");
    write(&sandbox, "shallow/leak", token("hallpass"));
    let git_there = |args: &[&str]| git(&sandbox, &[&["-C", "../shallow"], args].concat());
    git_there(&["add", "leak"]);
    git_there(&["commit", "--quiet", "--message=leak"]);
    let commit = git_there(&["rev-parse", "HEAD"]);
    let ran = sandbox.run(&["scan", "--git", "shallow"]);
    assert!(ran.found(1)[0].starts_with(&format!("{commit}:leak:1:1: ")));
    let ran = scan(&sandbox, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.stderr.contains("shallow"), "{ran:?}");
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn folder_without_a_repository_is_refused() {
    let sandbox = Sandbox::empty();
    let refusal = sandbox.run(&["scan", "--git"]).refused(14);
    assert_eq!(refusal, "not a git repository: .");
    let refusal = sandbox.run(&["scan", "--git", "away"]).refused(14);
    assert!(refusal.contains("No such file"), "{refusal}");
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn repository_is_found_as_git_finds_it() {
    let sandbox = repository();
    let token = token("hallpass");
    write(&sandbox, "repo/sub/leak", &token);
    let commit = commit(&sandbox, "leak");
    git(&sandbox, &["worktree", "add", "--quiet", "../tree"]);
    git(&sandbox, &["clone", "--quiet", "--bare", ".", "../bare"]);
    git(
        &sandbox,
        &[
            "clone",
            "--quiet",
            "--separate-git-dir=../apart",
            ".",
            "../clone",
        ],
    );
    let expected = format!("{commit}:sub/leak:1:1: {}", shown(&token));
    for path in [
        "repo",
        "repo/sub",
        "repo/.git",
        "tree",
        "bare",
        "clone",
        "clone/sub",
    ] {
        let ran = sandbox.run(&["scan", "--git", path]);
        // A link to another repository is reported.
        let elsewhere = matches!(path, "repo/sub" | "tree" | "clone" | "clone/sub");
        assert_eq!(
            ran.stderr.contains("searching the repository at"),
            elsewhere,
            "{ran:?}"
        );
        assert_eq!(ran.found(1), [&*expected], "{path}");
    }
}

#[test]
#[ignore = "needs git: tests/run installs it and runs this"]
fn sha_256_repository_is_searched() {
    let sandbox = Sandbox::empty();
    let token = token("hallpass");
    write(&sandbox, "repo/leak", &token);
    git(&sandbox, &["init", "--quiet", "--object-format=sha256"]);
    let commit = commit(&sandbox, "leak");
    let expected = [format!("{commit}:leak:1:1: {}", shown(&token))];
    assert_eq!(scan(&sandbox, &[]).found(1), expected);
    git(&sandbox, &["gc", "--quiet"]);
    assert_eq!(scan(&sandbox, &[]).found(1), expected);
}

#[test]
fn missing_git_is_named_in_the_refusal() {
    let sandbox = Sandbox::empty();
    let mut command = sandbox.command(&["scan", "--git"]);
    command.env("PATH", sandbox.path("nowhere"));
    let refusal = Ran::of(command).refused(14);
    assert!(refusal.contains("not installed"), "{refusal}");
}
