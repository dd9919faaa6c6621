//! The disk fails: calls of the running server get EIO or EROFS, as a kernel gives them.

use hallpass::cli::exit_code::ExitCode;

use super::{
    full_disk::{ready, wait_for_room},
    recorder::{Knob, Recorder},
    report,
    server::{Server, expect},
    tracked_server::{TrackedServer, UNAVAILABLE},
};

const EIO: i64 = 5;
const ENOSPC: i64 = 28;
const EROFS: i64 = 30;
const EDQUOT: i64 = 122;

/// Makes `knobs` fail with `error`, then no more.
fn fail(name: &str, knobs: &[Knob], error: i64, reads_go_on: bool) {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(None);
    let mut tracked = TrackedServer::start(recorder.serve(folder.path()));
    for _ in 0..3 {
        // What was just written is in the log alone, and not in the readers' memory.
        tracked.create().unwrap();
        for knob in knobs {
            recorder.set(*knob, error);
        }
        let (mut answered, mut failed, mut refused) = (0, 0, 0);
        for _ in 0..5 {
            let live = tracked.some_live();
            for outcome in [tracked.create(), tracked.delete(live)] {
                if let Err(outcome) = outcome {
                    assert_eq!(outcome, UNAVAILABLE);
                    refused += 1;
                }
            }
            let (a, f) = tracked.look(!reads_go_on);
            answered += a;
            failed += f;
        }
        let calls = recorder.get(Knob::FailedCalls);
        report(&format!(
            "{name}: {calls} calls failed, {refused} of 10 writes refused, {answered} reads answered, {failed} unavailable"
        ));
        assert!(calls > 0, "the fault was never met");
        recorder.set(Knob::FailedCalls, 0);
        if reads_go_on {
            assert_eq!(refused, 10);
        } else {
            assert!(refused + failed > 0);
        }
        for knob in knobs {
            recorder.set(*knob, 0);
        }
        tracked.create().expect("it recovers without a restart");
        tracked.look(false);
    }
    tracked.finish(folder.path());
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn writes_that_fail_are_unavailable_and_checks_go_on() {
    fail("EIO on write", &[Knob::Write], EIO, true);
}

/// `SQLite` knows one error alone as a full disk; this one means the same.
#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn quota_that_is_used_up_is_a_full_disk_and_a_disk_that_fails_is_none() {
    for (error, is_full) in [(EDQUOT, true), (ENOSPC, true), (EIO, false)] {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::new(None);
        let mut tracked = TrackedServer::start(recorder.serve(folder.path()));
        tracked.create().unwrap();
        recorder.set(Knob::Write, error);
        assert_eq!(tracked.create(), Err(UNAVAILABLE.to_owned()));
        let (_, text) = ready(&tracked.server);
        assert_eq!(
            text.contains("the disk is full"),
            is_full,
            "{error}: {text}"
        );
        recorder.set(Knob::Write, 0);
        let live = tracked.some_live();
        tracked.delete(live).expect("revocations have room");
        wait_for_room(&mut tracked);
        tracked.look(false);
        tracked.finish(folder.path());
    }
}

/// Whatever the error is: of the log, at whose sync a commit is answered, or of the database's file, at a
/// checkpoint or at the end.
#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn sync_that_fails_ends_the_process_and_nothing_acknowledged_is_lost() {
    for knob in [Knob::Sync, Knob::DatabaseSync] {
        for error in [EIO, ENOSPC, EDQUOT] {
            let folder = tempfile::tempdir().unwrap();
            let recorder = Recorder::new(None);
            let mut tracked = TrackedServer::start(recorder.serve(folder.path()));
            recorder.set(knob, error);
            let mut answered = 0;
            while let Ok(outcome) = tracked.try_create() {
                assert_eq!(outcome, Ok(()), "whether it is there is not known");
                answered += 1;
                assert!(answered < 2_000, "the fault was never met");
            }
            let known = tracked.known();
            let ended = tracked.server.ended();
            expect(&ended, ExitCode::SyncFailed);
            assert_eq!(ended.log.matches("a sync of the database").count(), 1);
            report(&format!(
                "{error} at {knob:?}: ended after {answered} creates"
            ));
            // Nor is a start more than it can be.
            let again = Server::spawn(recorder.serve(folder.path()));
            expect(&again.err().expect("no sync works"), ExitCode::SyncFailed);
            recorder.set(knob, 0);
            TrackedServer::again(recorder.serve(folder.path()), known).finish(folder.path());
        }
    }
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn reads_that_fail_are_unavailable_and_never_a_wrong_answer() {
    fail("EIO on read", &[Knob::Read], EIO, false);
}

/// What the kernel does to open files after an error of the disk; it refuses an operator's remount while a
/// file is open for writing.
#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn disk_that_turns_read_only_is_unavailable_for_writes_and_checks_go_on() {
    fail("EROFS", &[Knob::Write, Knob::Open], EROFS, true);
}
