//! The wall clock jumps while the server runs.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    client::{Client, Reply, id_of},
    recorder::{Knob, Recorder},
    server::{PASSWORD, hallpass},
    tracked_server::{DELETED, TrackedServer},
};

const DAY: i64 = 86_400;
const BACK: i64 = -30 * DAY;
const FORWARD: i64 = 3_652 * DAY;

fn sign_in(client: &mut Client, password: &str) -> Reply {
    client.sign_in(password).unwrap()
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn clock_jump_loses_nothing_and_locks_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(None);
    let mut tracked = TrackedServer::start(recorder.serve(folder.path()));
    let mut client = tracked.client();
    let expiring = json!({ "note": "expires", "expireTime": "2030-01-01T00:00:00Z" });
    let admin = tracked.admin.clone();
    let expiring = client
        .call("TokenService/CreateToken", &admin, &expiring)
        .unwrap()
        .text("token");
    let check = |client: &mut Client, token: &str| client.check(token).unwrap().outcome();

    for offset in [BACK, 0, FORWARD, BACK, FORWARD, 0] {
        // Recent failures must not lock the user out for thirty days.
        for _ in 0..6 {
            let outcome = sign_in(&mut client, "a wrong password of the tests").outcome();
            assert!(
                outcome.starts_with("unauth") || outcome.starts_with("resource"),
                "{outcome}"
            );
        }
        recorder.set(Knob::ClockOffsetSecs, offset);
        let jumped = Instant::now();
        while sign_in(&mut client, PASSWORD).status != 200 {
            assert!(
                jumped.elapsed() < Duration::from_mins(1),
                "the jump by {offset} s locked the user out"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        let expected = if offset == FORWARD {
            "unauthenticated TOKEN_EXPIRED"
        } else {
            "ok"
        };
        assert_eq!(check(&mut client, &expiring), expected);
        tracked.look(false);
        // Tokens created before a jump are used and deleted after it.
        tracked.create().unwrap();
        tracked.create().unwrap();
        let live = tracked.some_live();
        tracked.delete(live).unwrap();
        tracked.look(false);
    }
    let reply = client.delete(&admin, &id_of(&expiring)).unwrap();
    assert_eq!(reply.outcome(), "ok");
    recorder.set(Knob::ClockOffsetSecs, BACK);
    assert_eq!(check(&mut client, &expiring), DELETED);
    recorder.set(Knob::ClockOffsetSecs, 0);
    let verified = hallpass(folder.path(), &["audit", "verify"])
        .output()
        .unwrap();
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    tracked.finish(folder.path());
}
