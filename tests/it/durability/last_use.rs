//! Last uses stay in memory for a minute, so a crash may lose one minute of them and nothing else.

use std::{
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{
    client::id_of,
    recorder::{Knob, Recorder},
    server::{Server, database},
    tracked_server::TrackedServer,
};

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn kill_9_loses_the_last_uses_of_the_last_minute_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(None);
    let mut tracked = TrackedServer::start(recorder.serve(folder.path()));
    let mut client = tracked.client();
    let admin = tracked.admin.clone();
    let mut token = |note: &str| client.create(&admin, note).unwrap().text("token");
    let (early, late) = (token("early"), token("late"));
    let sql = Connection::open(database(folder.path())).unwrap();
    let last_use = |token: &str| -> Option<i64> {
        let select = "SELECT last_use_time FROM tokens WHERE id = ?1";
        sql.query_one(select, [id_of(token)], |row| row.get(0))
            .unwrap()
    };

    assert_eq!(client.check(&early).unwrap().outcome(), "ok");
    recorder.set(Knob::ClockOffsetSecs, 60);
    let minute_over = Instant::now();
    while last_use(&early).is_none() {
        let waited = minute_over.elapsed();
        assert!(waited < Duration::from_secs(10), "{}", tracked.server.log());
        thread::sleep(Duration::from_millis(20));
    }
    let written = last_use(&early);
    assert_eq!(client.check(&late).unwrap().outcome(), "ok");
    assert_eq!(client.check(&early).unwrap().outcome(), "ok");
    tracked.server.kill();
    assert_eq!(last_use(&early), written);
    // The control: the last uses were not yet written.
    assert_eq!(last_use(&late), None);
    // No other process may have the file open at a start.
    drop(sql);
    tracked.server = Server::start(folder.path());
    tracked.finish(folder.path());
}
