//! `hallpass audit export` and `audit tail`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

use super::sandbox::{Ran, Sandbox};

const VERIFY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/audit/verify.py");

/// Runs the stand-alone verifier.
fn verify(lines: &str, args: &[&str]) -> Ran {
    let mut child = Command::new("python3")
        .arg(VERIFY)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read all.
    drop(child.stdin.take().unwrap().write_all(lines.as_bytes()));
    Ran::from(child.wait_with_output().unwrap())
}

fn rows(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn export_can_be_verified_by_a_program_of_its_own_and_an_edit_is_found() {
    let sandbox = Sandbox::with_machine();
    for _ in 0..5 {
        sandbox.create_token("ci-bot", &[]);
    }
    let lines = sandbox.print(&["audit", "export"]);
    let exported = rows(&lines);
    let numbers: Vec<_> = exported
        .iter()
        .map(|row| row["sequence"].as_i64().unwrap())
        .collect();
    let all: Vec<_> = (1..=i64::try_from(exported.len()).unwrap()).collect();
    assert_eq!(numbers, all);
    let last = exported.last().unwrap();
    assert_eq!(
        last["action"], "audit.list",
        "the record of the export itself"
    );
    let head = format!("{}:{}", last["sequence"], last["hash"].as_str().unwrap());
    sandbox.print(&["audit", "verify", "--head", &head]);

    let verified = verify(&lines, &["--head", &head]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_eq!(
        verified.stdout,
        format!("{} rows, head {head}\n", exported.len())
    );
    let mut rest: Vec<_> = lines.lines().collect();
    rest.remove(2);
    let without_third = rest.join("\n") + "\n";
    // The controls.
    for (bad, told) in [
        (
            lines.replacen("token.create", "token.delete", 1),
            "was edited",
        ),
        (without_third, "is missing"),
    ] {
        let found = verify(&bad, &[]);
        assert_eq!(found.code, 1, "{found:?}");
        assert!(found.stderr.contains(told), "{found:?}");
    }
    assert_eq!(verify(&lines, &["--head", "1:00"]).code, 1);
    // What a sink may repeat counts once.
    let twice = lines.clone() + lines.lines().last().unwrap() + "\n";
    assert_eq!(verify(&twice, &["--head", &head]).code, 0);
}

#[test]
fn export_selects_and_writes_csv_in_which_no_text_is_a_formula() {
    let sandbox = Sandbox::with_machine();
    let server = sandbox.serve(&[]);
    let token = sandbox.create_token("ci-bot", &[]);
    for agent in [
        "=HYPERLINK(\"x\",\"y\")",
        "+1",
        "-1",
        "@x",
        "'=1",
        "a \"b\", c",
    ] {
        let made = Command::new("curl")
            .args([
                "-sS",
                "--fail",
                "-A",
                agent,
                "--oauth2-bearer",
                &token,
                "--json",
                "{}",
            ])
            .arg(format!(
                "http://{}/hallpass.v1.TokenService/CreateToken",
                server.address
            ))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let args = ["audit", "export", "--action=token.create"];
    let of_tokens = rows(&sandbox.print(&args));
    assert_eq!(of_tokens.len(), 7);
    assert!(of_tokens.iter().all(|row| row["action"] == "token.create"));
    let text = sandbox.print(&[&args[..], &["--format=csv"]].concat());
    let (header, records) = text.split_once("\r\n").unwrap();
    assert!(
        header.starts_with("sequence,time,actor,") && header.ends_with(",hash"),
        "{header}"
    );
    let names: Vec<_> = header.split(',').collect();
    assert_eq!(names.len(), of_tokens[0].as_object().unwrap().len());
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(records.as_bytes());
    let agent = names.iter().position(|name| *name == "user_agent").unwrap();
    let agents: Vec<_> = reader
        .records()
        .map(|record| record.unwrap()[agent].to_owned())
        .collect();
    let expected = [
        "'=HYPERLINK(\"x\",\"y\")",
        "'+1",
        "'-1",
        "'@x",
        "''=1",
        "a \"b\", c",
    ];
    assert_eq!(agents[1..], expected);
    for (row, agent) in of_tokens[1..].iter().zip(expected) {
        let exact = row["user_agent"].as_str().unwrap();
        assert_eq!(agent.strip_prefix('\'').unwrap_or(agent), exact);
    }
    server.stop();
}

#[test]
fn export_to_a_file_is_whole_or_not_there() {
    let sandbox = Sandbox::with_machine();
    let printed = sandbox.print(&["audit", "export", "--output=log.jsonl"]);
    assert!(printed.contains(" rows in log.jsonl, head "), "{printed}");
    let path = sandbox.path("log.jsonl");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let before = fs::read_to_string(&path).unwrap();
    assert_eq!(verify(&before, &[]).code, 0);
    let refused = sandbox.run(&["audit", "export", "--output=log.jsonl"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    sandbox.print(&["audit", "export", "--output=log.jsonl", "--force"]);
    assert!(fs::read_to_string(&path).unwrap().len() > before.len());
    // A full disk, and a reader that is gone.
    let mut full = sandbox.command(&["audit", "export"]);
    full.stdout(
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap(),
    );
    let full = full.output().unwrap();
    assert!(!full.status.success());
    assert!(
        String::from_utf8_lossy(&full.stderr).contains("No space left"),
        "{full:?}"
    );
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut gone = sandbox.command(&["audit", "export"]);
    let gone = gone
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output();
    assert!(
        gone.unwrap().stderr.is_empty(),
        "it is silent, as other commands are"
    );
}

#[test]
fn tail_goes_on_over_a_restart_without_losing_or_repeating_a_row() {
    let sandbox = Sandbox::with_machine();
    let refused = sandbox.run(&["audit", "tail"]);
    assert_eq!(refused.code, 17, "no server runs: {refused:?}");
    let server = sandbox.serve(&[]);
    let mut tail = sandbox
        .command(&["audit", "tail", "--jsonl", "-n2", "--action=token.create"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (sender, lines) = mpsc::channel();
    let stdout = tail.stdout.take().unwrap();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let row: Value = serde_json::from_str(&line.unwrap()).unwrap();
            drop(sender.send(row));
        }
    });
    let next = || {
        lines
            .recv_timeout(Duration::from_secs(30))
            .expect("a row comes")["sequence"]
            .as_i64()
            .unwrap()
    };
    let mut seen = Vec::new();
    sandbox.create_token("ci-bot", &[]);
    seen.push(next());
    server.stop();
    // What is written while no server runs comes, too.
    sandbox.create_token("ci-bot", &[]);
    let server = sandbox.serve(&[]);
    sandbox.create_token("ci-bot", &[]);
    seen.extend([next(), next()]);
    tail.kill().unwrap();
    tail.wait().unwrap();
    let stored = rows(&sandbox.print(&["audit", "export", "--action=token.create"]));
    let stored: Vec<_> = stored
        .iter()
        .map(|row| row["sequence"].as_i64().unwrap())
        .collect();
    assert_eq!(seen, stored);
    // For people, and from a time on.
    let printed = sandbox.print(&["audit", "tail", "--since=1h", "--limit=3"]);
    assert_eq!(printed.lines().count(), 3);
    assert!(printed.starts_with("1 "), "{printed}");
    server.stop();
}
