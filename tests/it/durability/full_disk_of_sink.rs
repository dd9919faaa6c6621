//! A full disk below the audit sink, beside a database that has room.

use std::fs;

use serde_json::{Value, json};

use super::full_disk::Disk;
use crate::cli::{
    audit_sink::{compare, lines, until, wait_for_newest},
    sandbox::{Sandbox, Serving},
};

fn create(server: &Serving, token: &str) -> (u16, Value) {
    server.call("TokenService/CreateToken", token, &json!({}))
}

fn is_refused_by_sink((status, reply): &(u16, Value)) -> bool {
    *status == 503 && reply.to_string().contains("audit sink")
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn full_disk_of_a_required_sink_withholds_answers_but_no_effect_and_its_rows_follow() {
    let disk = Disk::mount("1M");
    let sandbox = Sandbox::with_machine();
    let token = sandbox.create_token("ci-bot", &[]);
    let path = disk.path().join("sink.jsonl");
    let server = sandbox.serve(&[
        &format!("--audit-sink=file:{}", path.display()),
        "--audit-required",
    ]);
    let (status, created) = create(&server, &token);
    assert_eq!(status, 200, "{created}");
    let (text, id) = (&created["token"], &created["metadata"]["id"]);
    let filler = disk.fill();
    // The last page of the sink has some room left.
    let refused = loop {
        let reply = create(&server, &token);
        if reply.0 != 200 {
            break reply;
        }
    };
    assert!(is_refused_by_sink(&refused), "{refused:?}");
    let message = json!({ "tokenId": id });
    let revoked = server.call("TokenService/DeleteToken", &token, &message);
    assert!(is_refused_by_sink(&revoked), "{revoked:?}");
    assert!(!server.accepts(text.as_str().unwrap()), "it is revoked");
    assert!(server.accepts(&token), "checks go on");
    let while_full = lines(&path);

    fs::remove_file(filler).unwrap();
    until("it recovers by itself", || create(&server, &token).0 == 200);
    wait_for_newest(&sandbox, &path);
    server.stop();
    let exported = sandbox.print(&["audit", "export"]);
    compare(&lines(&path), &exported).unwrap();
    // The control: rows were missing, and perhaps a part of a line was there.
    let whole = while_full.iter().filter(|line| line.ends_with('}'));
    let whole: Vec<_> = whole.cloned().collect();
    assert!(compare(&whole, &exported).is_err());
}

#[test]
#[ignore = "needs root to mount a file system: tests/run runs this"]
fn full_disk_of_a_sink_that_is_not_required_stops_nothing() {
    let disk = Disk::mount("1M");
    let sandbox = Sandbox::with_machine();
    let token = sandbox.create_token("ci-bot", &[]);
    let path = disk.path().join("sink.jsonl");
    let server = sandbox.serve(&[&format!("--audit-sink=file:{}", path.display())]);
    create(&server, &token);
    let filler = disk.fill();
    // Far more rows than fit into the last page.
    for _ in 0..60 {
        assert_eq!(create(&server, &token).0, 200);
    }
    until("the failure is told", || {
        sandbox.log().contains("audit sink")
    });
    fs::remove_file(filler).unwrap();
    wait_for_newest(&sandbox, &path);
    server.stop();
    compare(&lines(&path), &sandbox.print(&["audit", "export"])).unwrap();
}
