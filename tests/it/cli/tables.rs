//! Tables fit the terminal and have names instead of IDs; colours. Misleading text of other users is escaped, and JSON
//! has the exact value in visible characters.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    sandbox::{Ran, Sandbox},
    terminal::Terminal,
};

/// Bidirectional overrides, separators, zero-width characters, tags and a blank letter. (Notes may not have controls.)
const FOOLING: &str = "safe \u{202e}evil\u{202c} \u{2066}x\u{2069}\u{2028}y\u{2029}\u{200b}\u{feff}\u{e0041}\u{3164}\u{fe0f}z";
const ESCAPED: &str = "safe \\u{202e}evil\\u{202c} \\u{2066}x\\u{2069}\\u{2028}y\\u{2029}\\u{200b}\\u{feff}\\u{e0041}\\u{3164}\\u{fe0f}z";

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
    assert!(machines.contains("  ci-bot  active, 90d left"), "{list}");
    assert!(
        machines.contains("website deploys the website"),
        "not truncated: {list}"
    );
    assert!(admins.contains("  admin   active, 12h left"), "{list}");
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

/// Whether all characters are visible or line ends.
fn shows_all(text: &str) -> bool {
    let fools = |char: char| FOOLING.contains(char) && !char.is_ascii();
    !text
        .chars()
        .any(|char| (char.is_control() && char != '\n') || fools(char))
}

#[test]
fn note_is_escaped_in_tables_and_exact_in_json() {
    let sandbox = Sandbox::set_up();
    sandbox.create_token("admin", &["--note", FOOLING]);
    sandbox.print(&[
        "machine",
        "create",
        "ci-bot",
        "--owner=admin",
        "--description",
        FOOLING,
    ]);
    for args in [
        &["token", "list", "admin"][..],
        &["token", "list", "--all"],
        &["machine", "list"],
        &["user", "list"],
        &["user", "get", "ci-bot"],
    ] {
        let table = sandbox.print(args);
        if args != ["machine", "list"] {
            assert!(table.contains(ESCAPED), "{table}");
        }
        assert!(shows_all(&table), "{table}");
    }
    let json = sandbox.print(&["token", "list", "admin", "--json"]);
    assert!(shows_all(&json) && json.contains("\\u202e"), "{json}");
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["tokens"][0]["note"], json!(FOOLING));
    let row = &sandbox.json(&["token", "list", "admin"])["tokens"][0];
    let explained = sandbox.print(&["token", "explain", row["id"].as_str().unwrap()]);
    assert!(shows_all(&explained), "{explained}");
}

#[test]
fn echoed_input_is_escaped_and_reveals_no_token() {
    let sandbox = Sandbox::set_up();
    let token = sandbox.create_token("admin", &[]);
    let secret = &token[token.len() - 49..];
    let fooling = format!("{FOOLING}\u{1b}[2K\r");
    for args in [
        &["user", "get", &fooling][..],
        &["audit", "verify", &format!("--head={fooling}")],
        &["user", "list", &format!("--server=unix:{fooling}")],
        &["user", "list", &fooling],
        &["user", "list", &format!("--{fooling}")],
        &[&*fooling],
        &["user", "create", "bob", "--password-file", &fooling],
        &["scan", &fooling],
        &["user", "create", "bob", "--password-file", &token],
        &["user", "list", &format!("--server=unix:{token}.sock")],
        &[
            "user",
            "list",
            &format!("--database-url=sqlite:{token}/x.db"),
        ],
        &["user", "get", &token],
        &["scan", &format!("{token}.txt")],
        &["scan", "--ignore-list", &token, "."],
    ] {
        let ran = sandbox.run(args);
        assert_ne!(ran.code, 0, "{args:?}: {ran:?}");
        assert!(
            shows_all(&ran.stderr) && shows_all(&ran.stdout),
            "{args:?}: {ran:?}"
        );
        assert!(!ran.stderr.contains(secret), "{args:?}: {ran:?}");
    }
}

#[test]
fn misleading_name_is_escaped_in_logs_and_scan_findings() {
    for format in ["text", "json"] {
        let sandbox = Sandbox::empty();
        let folder = format!("{FOOLING}\u{9b}31m\u{7f}");
        fs::create_dir(sandbox.path(&folder)).unwrap();
        // The file's name is logged at the start; settings do not restrict the name of its folder.
        let mut command =
            sandbox.command(&["serve", "--listen=127.0.0.1:0", "--log-format", format]);
        command.current_dir(sandbox.path(&folder));
        sandbox.serve_command(command).stop();
        let log = sandbox.log();
        assert!(log.contains("initial-admin-password"), "{log}");
        assert!(shows_all(&log), "{log}");
        let escape = if format == "text" {
            "\\u{202e}"
        } else {
            "\\u202e"
        };
        assert!(log.contains(escape), "{log}");
        if format == "json" {
            let mut records = log
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            assert!(records.any(|record| {
                record["file"]
                    .as_str()
                    .is_some_and(|file| file.contains(&folder))
            }));
        }
    }
    let sandbox = Sandbox::set_up();
    let token = sandbox.create_token("admin", &[]);
    fs::write(sandbox.path(&format!("{FOOLING}{token}\u{1b}.txt")), &token).unwrap();
    let secret = &token[token.len() - 49..];
    for args in [&["scan", "."][..], &["scan", "--json", "."]] {
        let Ran {
            code,
            stdout,
            stderr,
        } = sandbox.run(args);
        assert_eq!(code, 1, "{stderr}");
        assert!(stdout.contains("u{202e}"), "{stdout}");
        assert!(shows_all(&stdout) && !stdout.contains(secret), "{stdout}");
    }
}

#[test]
fn prompt_names_its_target_in_visible_characters() {
    let sandbox = Sandbox::empty();
    let folder = sandbox.path(FOOLING);
    fs::create_dir(&folder).unwrap();
    let within = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.current_dir(&folder);
        command
    };
    sandbox
        .serve_command(within(&["serve", "--listen=127.0.0.1:0"]))
        .stop();
    Ran::of(within(&["token", "create", "admin"]));
    let ran = Ran::of(within(&["token", "revoke", "--user=admin", "--yes"]));
    assert!(shows_all(&ran.stderr), "{ran:?}");
    assert!(
        ran.stderr.contains("on sqlite:") && ran.stderr.contains("\\u{202e}"),
        "{ran:?}"
    );
}
