//! Common mistakes, and the next step that the error suggests.

use clap::Command;
use serde_json::json;

use super::{
    sandbox::{Ran, Sandbox},
    terminal::Terminal,
};
use crate::test_app::id_of;

/// Creates a machine owned by alice.
fn with_machine() -> Sandbox {
    let sandbox = Sandbox::set_up();
    sandbox.create_person("alice");
    sandbox.print(&["machine", "create", "ci-bot", "--owner=alice"]);
    sandbox
}

/// The commands in the examples below a command's help and those of its subcommands.
fn examples(command: &Command, into: &mut Vec<String>) {
    let text = command.get_after_help().map(ToString::to_string);
    let text = text.unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
    let commands = lines.filter(|line| line.starts_with("hallpass "));
    // The purpose of the command follows after two spaces.
    let commands = commands.map(|line| line.split("  ").next().unwrap().to_owned());
    into.extend(commands);
    command
        .get_subcommands()
        .for_each(|sub| examples(sub, into));
}

#[test]
fn help_examples_are_existing_commands() {
    let command = hallpass::cli::command();
    let mut found = Vec::new();
    examples(&command, &mut found);
    assert!(found.len() >= 12, "{found:?}");
    for example in found {
        let line = example.replace("TOKEN_ID", "0000000000000000000000");
        if let Err(error) = command.clone().try_get_matches_from(line.split(' ')) {
            assert_eq!(
                error.kind(),
                clap::error::ErrorKind::DisplayHelp,
                "{example}"
            );
        }
    }
}

#[test]
fn command_names_of_other_tools_are_understood() {
    let sandbox = with_machine();
    let args = ["--name=nightly", "--ttl=90d", "--scope=deploy,push"];
    let cidrs = "--cidr=10.0.0.0/8,127.0.0.0/8";
    let text = sandbox.create_token("ci-bot", &[&args[..], &[cidrs]].concat());
    let token = &sandbox.json(&["token", "show", id_of(&text)])["token"];
    assert_eq!(token["note"], "nightly");
    assert_eq!(token["scopes"], json!(["deploy", "push"]));
    assert_eq!(token["allowedCidrs"], json!(["10.0.0.0/8", "127.0.0.0/8"]));
    let next = sandbox.print(&["token", "renew", id_of(&text), "--grace=1h"]);
    let check = ["token", "check", "-", "--scope=deploy,push"];
    let client = ["--client-ip=127.0.0.1"];
    assert_eq!(
        sandbox
            .run_with(&[&check[..], &client].concat(), &next)
            .code,
        0
    );
    sandbox.print(&["token", "remove", id_of(&next)]);
    for noun in ["user", "machine"] {
        sandbox.print(&[noun, "disable", "ci-bot", "--yes"]);
        let shown = sandbox.print(&[noun, "show", "ci-bot"]);
        assert!(shown.contains("deactivated"), "{shown}");
        sandbox.print(&[noun, "enable", "ci-bot"]);
    }
    sandbox.print(&["machine", "remove", "ci-bot", "--yes"]);
}

#[test]
fn refusal_names_the_command_that_helps() {
    let sandbox = with_machine();
    let refusal = sandbox.run(&["token", "create", "cd-bot"]).refused(1);
    assert!(refusal.contains("`hallpass machine create "), "{refusal}");
    let refusal = sandbox
        .run(&["user", "delete", "alice", "--yes"])
        .refused(1);
    let list = "`hallpass machine list --owner USER`";
    assert!(refusal.contains(list), "{refusal}");
    assert!(
        refusal.contains("`hallpass machine set-owner "),
        "{refusal}"
    );
    let refusal = sandbox
        .run(&["token", "revoke", "alice", "--yes"])
        .refused(2);
    assert!(refusal.contains("--user NAME"), "{refusal}");
    let others = Sandbox::set_up().create_token("admin", &[]);
    let refusal = sandbox.run_with(&["token", "explain"], &others).refused(1);
    assert!(refusal.contains("another server's"), "{refusal}");
}

#[test]
fn rotated_token_points_to_its_successor_and_says_why_it_ended() {
    let sandbox = with_machine();
    let text = sandbox.create_token("ci-bot", &["--expires=90d"]);
    let next = sandbox.print(&["token", "rotate", id_of(&text), "--grace=1h"]);
    let refusal = sandbox.run(&["token", "rotate", id_of(&text)]).refused(1);
    assert!(refusal.contains("`hallpass token get` "), "{refusal}");
    let shown = sandbox.print(&["token", "get", id_of(&text)]);
    assert!(shown.contains(id_of(&next)), "{shown}");
    let last = sandbox.print(&["token", "rotate", id_of(&next)]);
    let ran = sandbox.run_with(&["token", "explain"], &next);
    assert!(
        ran.stdout.contains("it was rotated, and ended at "),
        "{ran:?}"
    );
    assert!(ran.stdout.contains(id_of(&last)), "{ran:?}");
    let ran = sandbox.run_with(&["token", "verify"], &next);
    assert!(ran.stdout.contains("or was rotated"), "{ran:?}");
    // A token that merely expired is not reported as rotated.
    let short = sandbox.create_token("ci-bot", &["--expires=1s"]);
    let server = sandbox.serve(&[]);
    while server.accepts(&short) {}
    let ran = sandbox.run_with(&["token", "explain"], &short);
    assert!(ran.stdout.contains("not valid: it expired at "), "{ran:?}");
    server.stop();
}

#[test]
fn refused_creation_or_rotation_with_a_token_is_explained() {
    let sandbox = with_machine();
    let admin = sandbox.create_token("admin", &["--expires=1d"]);
    let alices = sandbox.create_token("alice", &["--expires=1h"]);
    let server = sandbox.serve(&[]);
    let url = format!("--server=http://{}", server.address);
    let told = |args: &[&str]| {
        let mut command = sandbox.command(&[args, &[&url]].concat());
        command.env("HALLPASS_TOKEN", &admin);
        Ran::of(command).stderr
    };
    let by_itself = "by that person";
    let stderr = told(&["token", "rotate", id_of(&alices)]);
    assert!(stderr.contains(by_itself), "{stderr}");
    let stderr = told(&["token", "create", "alice", "--expires=1h"]);
    assert!(stderr.contains(by_itself), "{stderr}");
    // Without --expires it would outlive the token that creates it.
    let stderr = told(&["token", "create", "ci-bot"]);
    assert!(stderr.contains("\nGive an earlier --expires; "), "{stderr}");
    let stderr = told(&["token", "create", "ci-bot", "--expires=1h"]);
    let with = format!("It ends with the token {} with which", id_of(&admin));
    assert!(stderr.contains(&with), "{stderr}");
    assert!(!stderr.contains(by_itself), "{stderr}");
    server.stop();
}

#[test]
fn deactivating_an_owner_mentions_its_machines() {
    let sandbox = with_machine();
    let mut terminal = Terminal::run(&sandbox, "user deactivate alice");
    terminal.expect("[y/N]").type_keys("y\n");
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("; it owns 1 machine. Deactivate"), "{seen}");
    let list = "`hallpass machine list --owner alice`";
    assert!(seen.contains(list), "{seen}");
    let ran = sandbox.run(&["user", "deactivate", "alice", "--yes"]);
    assert!(ran.stderr.contains(list), "{ran:?}");
    // Nothing is said of machines if there are none.
    let ran = sandbox.run(&["user", "deactivate", "ci-bot", "--yes"]);
    assert!(!ran.stderr.contains("achines of"), "{ran:?}");
    sandbox.create_person("bob");
    let mut terminal = Terminal::run(&sandbox, "user deactivate bob");
    terminal.expect("[y/N]").type_keys("y\n");
    let (_, seen) = terminal.end();
    assert!(!seen.contains("achine"), "{seen}");

    let ran = sandbox.run(&["machine", "set-owner", "ci-bot", "admin"]);
    assert!(
        ran.stdout.starts_with("handed to admin: ci-bot ("),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("rotate or revoke"), "{ran:?}");
}

#[test]
fn mistyped_token_is_distinguished_from_an_unknown_one() {
    let sandbox = with_machine();
    let text = sandbox.create_token("ci-bot", &[]);
    let last = if text.ends_with('A') { 'B' } else { 'A' };
    let mistyped = format!("{}{last}", &text[..text.len() - 1]);
    let ran = sandbox.run_with(&["token", "verify"], &mistyped);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("it was mistyped or cut"), "{ran:?}");
}

#[test]
fn last_use_not_yet_written_is_mentioned() {
    let sandbox = with_machine();
    let text = sandbox.create_token("ci-bot", &[]);
    let shown = sandbox.print(&["token", "get", id_of(&text)]);
    assert!(
        shown.contains("never, or within the last minute"),
        "{shown}"
    );
    let told = sandbox.print(&["token", "explain", id_of(&text)]);
    assert!(told.contains("one of the last minute may not be"), "{told}");
}
