//! The audit sink of the real binary: its lines are the audit log, whatever happens to the file, the disk or the server.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::sandbox::{Sandbox, Serving, call};

const CREATE: &str = "TokenService/CreateToken";
const SINK: &str = "--audit-sink=file:sink.jsonl";

pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn number(line: &str) -> i64 {
    let row: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    row["sequence"].as_i64().unwrap()
}

/// Checks that `lines` are the log: in order, each row at least once, and each as it is exported.
pub(crate) fn compare(lines: &[String], exported: &str) -> Result<(), String> {
    let exported: Vec<_> = exported.lines().collect();
    let mut last = 0;
    for line in lines {
        let number = number(line);
        if number > last + 1 {
            return Err(format!("row {} is missing", last + 1));
        }
        last = last.max(number);
        let stored = usize::try_from(number - 1).unwrap();
        if exported.get(stored) != Some(&line.as_str()) {
            return Err(format!("{line} is not as exported"));
        }
    }
    // The export itself is the last row, which no server has seen.
    match exported.len() - usize::try_from(last).unwrap() {
        0 | 1 => Ok(()),
        more => Err(format!("{more} rows are missing at the end")),
    }
}

/// Stops the server and checks its sink against the log.
fn check(sandbox: &Sandbox, server: Serving, lines: &[String]) {
    server.stop();
    let exported = sandbox.print(&["audit", "export"]);
    compare(lines, &exported).unwrap();
}

fn create(server: &Serving, token: &str) -> (u16, Value) {
    server.call(CREATE, token, &json!({}))
}

/// Waits until the sink has the newest row.
pub(crate) fn wait_for_newest(sandbox: &Sandbox, path: &Path) {
    let newest = sandbox.json(&["audit", "list", "--reverse", "--limit=1"]);
    let newest: i64 = newest["events"][0]["sequence"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    until("the newest row is in the sink", || {
        let lines = lines(path);
        lines
            .last()
            .is_some_and(|line| line.ends_with('}') && number(line) >= newest)
    });
}

#[test]
fn sink_has_every_row_as_it_is_exported_over_restarts_rotations_and_cuts() {
    let sandbox = Sandbox::with_machine();
    let token = sandbox.create_token("ci-bot", &[]);
    let path = sandbox.path("sink.jsonl");
    let server = sandbox.serve(&[SINK]);
    create(&server, &token);
    wait_for_newest(&sandbox, &path);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(number(&lines(&path)[0]), 1, "it begins with the first row");
    // A restart goes on after the last line, also if a crash has left a part of one.
    server.stop();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{{\"sequence\":99,\"ti")).unwrap();
    let server = sandbox.serve(&[SINK]);
    create(&server, &token);
    wait_for_newest(&sandbox, &path);
    let before = lines(&path);
    let numbers: Vec<_> = before.iter().map(|line| number(line)).collect();
    assert!(
        numbers.is_sorted_by(|one, next| one < next),
        "no row comes twice: {numbers:?}"
    );
    // Moved away, with and without a signal.
    for signal in [false, true] {
        fs::rename(&path, sandbox.path(&format!("sink.{signal}"))).unwrap();
        if signal {
            kill_process(
                Pid::from_raw(server.id().cast_signed()).unwrap(),
                Signal::HUP,
            )
            .unwrap();
        }
        create(&server, &token);
        wait_for_newest(&sandbox, &path);
    }
    // Copied and cut: what may not be in the copy is written again.
    fs::copy(&path, sandbox.path("sink.copy")).unwrap();
    create(&server, &token);
    wait_for_newest(&sandbox, &path);
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    create(&server, &token);
    wait_for_newest(&sandbox, &path);
    let parts = ["sink.false", "sink.true", "sink.copy", "sink.jsonl"];
    let all: Vec<_> = parts
        .iter()
        .flat_map(|part| lines(&sandbox.path(part)))
        .collect();
    check(&sandbox, server, &all);
}

#[test]
fn sink_has_every_row_in_order_after_kill_9_at_any_time() {
    let sandbox = Sandbox::with_machine();
    let token = sandbox.create_token("ci-bot", &[]);
    let path = sandbox.path("sink.jsonl");
    for round in 0..6 {
        let server = sandbox.serve(&[SINK, "--max-tokens-per-user=100000"]);
        let (address, token) = (server.address.clone(), token.clone());
        let writers: Vec<_> = (0..3)
            .map(|_| {
                let (address, token) = (address.clone(), token.clone());
                thread::spawn(move || {
                    // Ends when the server is gone.
                    while std::net::TcpStream::connect(&address).is_ok() {
                        if std::panic::catch_unwind(|| call(&address, CREATE, &token, &json!({})))
                            .is_ok_and(|reply| reply.is_none())
                        {
                            break;
                        }
                    }
                })
            })
            .collect();
        let before = lines(&path).len();
        until("rows are delivered", || {
            lines(&path).len() > before + 20 + 13 * round
        });
        server.end(Signal::KILL);
        for writer in writers {
            drop(writer.join());
        }
    }
    let server = sandbox.serve(&[SINK]);
    wait_for_newest(&sandbox, &path);
    server.stop();
    let (lines, exported) = (lines(&path), sandbox.print(&["audit", "export"]));
    compare(&lines, &exported).unwrap();
    // The control: a sink that skips a row is found.
    let mut skipped = lines.clone();
    skipped.retain(|line| number(line) != 17);
    assert_eq!(
        compare(&skipped, &exported),
        Err("row 17 is missing".to_owned())
    );
    let cut = &lines[..lines.len() - 5];
    assert!(compare(cut, &exported).is_err());
}

#[test]
fn required_sink_that_fails_makes_answers_unavailable_and_its_rows_follow() {
    let sandbox = Sandbox::with_machine();
    let token = sandbox.create_token("ci-bot", &[]);
    let missing = "--audit-sink=file:folder/sink.jsonl";
    let refused = sandbox.run(&["serve", "--audit-required"]).refused(2);
    assert!(refused.contains("--audit-sink"), "{refused}");
    // Without --audit-required, nothing but the status tells.
    let server = sandbox.serve(&[missing]);
    assert_eq!(create(&server, &token).0, 200);
    until("the status tells", || {
        sandbox.json(&["status"])["server"]["auditSinkFailing"] == true
    });
    server.stop();
    assert!(
        sandbox
            .log()
            .contains("the audit sink file:folder/sink.jsonl fails")
    );

    let server = sandbox.serve(&[missing, "--audit-required"]);
    let (status, reply) = create(&server, &token);
    assert_eq!(
        (status, &reply["code"]),
        (503, &json!("unavailable")),
        "{reply}"
    );
    assert!(
        reply.to_string().contains("AUDIT_SINK_UNAVAILABLE")
            || reply["message"].as_str().unwrap().contains("audit sink"),
        "{reply}"
    );
    // Checks of tokens go on, and what was done stands.
    assert!(server.accepts(&token));
    let listed = server.call("TokenService/ListTokens", &token, &json!({}));
    assert_eq!(
        listed.1["tokens"].as_array().unwrap().len(),
        3,
        "{listed:?}"
    );
    let made = listed.1["tokens"][2]["id"].clone();
    let delete = || {
        server.call(
            "TokenService/DeleteToken",
            &token,
            &json!({ "tokenId": made }),
        )
    };
    assert_eq!(delete().0, 503);
    let listed = server.call("TokenService/ListTokens", &token, &json!({}));
    assert_eq!(
        listed.1["tokens"].as_array().unwrap().len(),
        2,
        "revoked nevertheless"
    );
    // A repeat is not told that all is well, and an admin's read is not answered either.
    assert_eq!(delete().0, 503);
    assert_eq!(sandbox.run(&["token", "list", "ci-bot"]).code, 1);
    let ready = |server: &Serving| {
        let url = format!("http://{}/readyz", server.address);
        let got = Command::new("curl")
            .args(["-sS", "--fail", &url])
            .output()
            .unwrap();
        String::from_utf8(got.stdout).unwrap()
    };
    assert!(
        ready(&server).contains("the audit sink fails"),
        "{}",
        ready(&server)
    );

    fs::create_dir(sandbox.path("folder")).unwrap();
    until("it works again", || delete().0 != 503);
    let path = sandbox.path("folder/sink.jsonl");
    assert_eq!(create(&server, &token).0, 200);
    // Whoever is answered finds the row in the file.
    assert!(lines(&path).last().unwrap().contains("token.create"));
    until("it is ready", || ready(&server) == "ready");
    check(&sandbox, server, &lines(&path));
}

#[test]
fn sink_without_a_reader_delays_no_answer_unless_it_is_required() {
    let sandbox = Sandbox::with_machine();
    let token = sandbox.create_token("ci-bot", &["--note=n"]);
    // Standard output is read up to its first line, and then no more.
    let server = sandbox.serve(&["--audit-sink=stdout"]);
    let agent = "a".repeat(250);
    for _ in 0..200 {
        let began = Instant::now();
        let made = Command::new("curl")
            .args([
                "-sS",
                "-A",
                &agent,
                "--oauth2-bearer",
                &token,
                "--json",
                "{}",
            ])
            .arg(format!("http://{}/hallpass.v1.{CREATE}", server.address))
            .output()
            .unwrap();
        assert!(made.status.success());
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    until("the hanging write is told", || {
        sandbox.json(&["status"])["server"]["auditSinkFailing"] == true
    });
    // It stops though the write hangs.
    let (mut server, began) = (server, Instant::now());
    kill_process(
        Pid::from_raw(server.id().cast_signed()).unwrap(),
        Signal::TERM,
    )
    .unwrap();
    assert_eq!(server.ended(Duration::from_secs(20)).code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15));

    // A pipe that nobody reads, and then somebody.
    let pipe = sandbox.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let server = sandbox.serve(&["--audit-sink=file:pipe", "--audit-required"]);
    assert_eq!(create(&server, &token).0, 503);
    let reader = thread::spawn(move || {
        let mut reader = BufReader::new(fs::File::open(&pipe).unwrap());
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        first + &rest
    });
    until("it works again", || create(&server, &token).0 == 200);
    server.stop();
    let read = reader.join().unwrap();
    let read: Vec<_> = read.lines().map(str::to_owned).collect();
    compare(&read, &sandbox.print(&["audit", "export"])).unwrap();
}

#[test]
fn link_or_folder_is_no_sink_and_stdout_begins_with_the_address() {
    let sandbox = Sandbox::with_machine();
    std::os::unix::fs::symlink("elsewhere", sandbox.path("sink.jsonl")).unwrap();
    let server = sandbox.serve(&[SINK]);
    until("the link is refused", || {
        sandbox.log().contains("neither a file nor a named pipe")
    });
    assert!(!sandbox.path("elsewhere").exists());
    server.stop();
    // `serve` has read the first line, which is the address.
    let server = sandbox.serve(&["--audit-sink=stdout"]);
    let (status, rest) = server.end(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    let rest: Vec<_> = rest.lines().map(str::to_owned).collect();
    compare(&rest, &sandbox.print(&["audit", "export"])).unwrap();
}
