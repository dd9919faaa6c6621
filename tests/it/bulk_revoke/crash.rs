//! The process is killed in the middle of a big revocation.

use std::thread;

use rusqlite::{Connection, config::DbConfig};
use rustix::process::Signal;
use serde_json::json;

use crate::cli::sandbox::Sandbox;

use super::{
    REVOKE,
    concurrent::{deleted, plant},
};

#[test]
fn kill_9_keeps_acknowledged_revocations_and_only_whole_transactions() {
    let sandbox = Sandbox::empty();
    let server = sandbox.serve(&[]);
    let admin = sandbox.create_token("admin", &[]);
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let bot = sandbox.json(&["user", "get", "ci-bot"])["user"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let open = || {
        let sql = Connection::open(sandbox.path("hallpass.db")).unwrap();
        sql.busy_timeout(std::time::Duration::from_secs(10))
            .unwrap();
        // Otherwise, after the kill, closing it would write the log into the file in the server's place.
        sql.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .unwrap();
        sql
    };
    let mut sql = open();
    let texts = plant(&mut sql, &bot, 12_000);
    let filter = json!({ "scope": "planted" });

    // One call that completes.
    let named: Vec<_> = texts[..700].iter().collect();
    let (status, answer) = server.call(REVOKE, &admin, &json!({ "tokens": named }));
    assert_eq!((status, &answer["tokenCount"]), (200, &json!(700)));
    // One call that is cut off.
    let answered = 700;
    let address = server.address.clone();
    let cut = thread::spawn({
        let (admin, request) = (admin.clone(), json!({ "filter": filter }));
        move || crate::cli::sandbox::call(&address, REVOKE, &admin, &request)
    });
    while deleted(&sql).0 == answered {
        thread::yield_now();
    }
    let (status, _) = server.end(Signal::KILL);
    assert_eq!(status.code(), None);
    assert!(
        cut.join().unwrap().is_none(),
        "the call returned before the process was killed"
    );

    // The next owner must be the only one to open the file.
    drop(sql);
    let server = sandbox.serve(&[]);
    let sql = open();
    let (tokens, rows) = deleted(&sql);
    assert!(tokens > answered && tokens < 12_000, "{tokens}");
    assert_eq!((tokens - answered) % 1_000, 0, "whole transactions");
    assert_eq!(rows, tokens, "one row per token");
    for text in texts[..700].iter().step_by(50) {
        assert!(
            !server.accepts(text),
            "an acknowledged revocation was undone"
        );
    }
    sandbox.print(&["audit", "verify"]);
    sandbox.print(&["data", "check"]);
    // Repeating the call revokes the rest.
    let mut request = json!({ "filter": filter });
    loop {
        let (status, answer) = server.call(REVOKE, &admin, &request);
        assert_eq!(status, 200, "{answer}");
        match answer.get("nextPageToken") {
            Some(next) => request["pageToken"] = next.clone(),
            None => break,
        }
    }
    assert_eq!(deleted(&sql), (12_000, 12_000));
    server.stop();
}
