//! Tables fit the terminal and have names instead of IDs; colours.

use std::time::{Duration, Instant};

use super::{
    sandbox::{Ran, Sandbox},
    terminal::Terminal,
};

fn with_tokens() -> Sandbox {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let note = format!("--note={}", "deploys the website ".repeat(8).trim());
    sandbox.create_token("ci-bot", &["--expires=90d12h", "--scope=deploy", &note]);
    sandbox.create_token("admin", &["--expires=12h30m"]);
    sandbox
}

#[test]
fn tables_use_names_and_omit_empty_columns() {
    let sandbox = with_tokens();
    let list = sandbox.print(&["token", "list", "--all"]);
    let [header, machines, admins] = list.lines().collect::<Vec<_>>()[..] else {
        panic!("{list}");
    };
    let columns = header.split("  ").map(str::trim);
    let columns: Vec<_> = columns.filter(|column| !column.is_empty()).collect();
    assert_eq!(
        columns,
        ["ID", "USER", "STATE", "LAST USED", "SCOPES", "NOTE"]
    );
    assert!(machines.contains("  ci-bot  live, 90d left"), "{list}");
    assert!(
        machines.contains("website deploys the website"),
        "not truncated: {list}"
    );
    assert!(admins.contains("  admin   live, 12h left"), "{list}");
    // No token here has scopes or a note, so there are no such columns.
    let own = sandbox.print(&["token", "list", "admin"]);
    let header = own.lines().next().unwrap();
    assert!(
        !header.contains("SCOPES") && !header.contains("NOTE"),
        "{own}"
    );

    let id = sandbox.json(&["user", "get", "ci-bot"])["user"]["id"].clone();
    let token = sandbox.json(&["token", "list", "--all"]);
    assert_eq!(token["usernames"][id.as_str().unwrap()], "ci-bot");
    let token = token["tokens"][0]["id"].as_str().unwrap();
    let told = sandbox.print(&["token", "get", token]);
    assert!(
        told.contains("ci-bot (") && told.contains("Z (in 90 days)"),
        "{told}"
    );
    // The audit log, too, has names of users.
    sandbox.print(&["user", "deactivate", "ci-bot", "--yes"]);
    sandbox.print(&["user", "delete", "ci-bot", "--yes"]);
    let log = sandbox.print(&["audit", "list"]);
    assert!(
        log.contains("user.delete") && log.contains("  ci-bot"),
        "{log}"
    );
    assert!(!log.contains(id.as_str().unwrap()), "{log}");
    assert!(!log.lines().next().unwrap().contains("REFUSED"), "{log}");
}

#[test]
fn tables_fit_and_fill_the_terminal() {
    let sandbox = with_tokens();
    sandbox.serve(&[]).stop();
    for width in ["80", "120"] {
        for command in [
            "token list --all",
            "audit list",
            "user list",
            "machine list",
        ] {
            let mut terminal = Terminal::run_with(&sandbox, command, &[("COLUMNS", width)]);
            let (code, seen) = terminal.end();
            assert_eq!(code, 0, "{seen}");
            let width: usize = width.parse().unwrap();
            let widest = seen
                .lines()
                .map(|line| line.trim_end().chars().count())
                .max();
            assert!(widest.unwrap() <= width, "{command}: {seen}");
            if command == "token list --all" {
                assert!(seen.contains('…') && widest.unwrap() > width - 12, "{seen}");
            }
        }
    }
}

#[test]
fn listing_costs_one_call_per_page_not_per_row() {
    let sandbox = with_tokens();
    sandbox.multiply_tokens(498);
    let before = sandbox.json(&["audit", "list"])["events"]
        .as_array()
        .unwrap()
        .len();
    let start = Instant::now();
    let list = sandbox.print(&["token", "list", "--all"]);
    let took = start.elapsed();
    assert_eq!(list.lines().count(), 501);
    // Generous for a debug build on a loaded machine; one call per row would take far longer.
    assert!(took < Duration::from_secs(10), "{took:?}");
    // Two pages leave two rows, and listing the log leaves one.
    let after = sandbox.json(&["audit", "list"])["events"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(after - before, 3);
}

#[test]
fn no_color_applies_to_the_log() {
    let sandbox = Sandbox::set_up();
    let colours = |variables: &[(&str, &str)]| {
        let mut terminal = Terminal::run_with(&sandbox, "serve --listen=127.0.0.1:0", variables);
        terminal.expect("hallpass listening on").type_keys("\x03");
        let (code, seen) = terminal.end();
        assert_eq!(code, 0, "{seen}");
        seen.contains("\x1b[")
    };
    // The control: without NO_COLOR a terminal gets colours.
    assert!(colours(&[("NO_COLOR", "")]));
    assert!(!colours(&[("NO_COLOR", "1")]));
}

#[test]
fn one_token_is_printed_in_the_singular() {
    let sandbox = with_tokens();
    let revoke = |args: &[&str]| {
        let ran = sandbox.run(&[&["token", "revoke", "--user=ci-bot", "--yes"], args].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    assert!(revoke(&["--dry-run"]).starts_with("would revoke 1 token, "));
    assert!(revoke(&[]).starts_with("revoked 1 token; "));
    assert!(revoke(&[]).starts_with("revoked 0 tokens; "));
    let ran: Ran = sandbox.run(&["audit", "verify"]);
    assert!(ran.stdout.contains(" rows, head "), "{ran:?}");
}
