//! The disk fails: system calls of the running server return EIO, EROFS or ENOSPC, as the kernel would.

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

/// Makes the calls of `knobs` fail with `error` for a while, then stops.
fn fail(name: &str, knobs: &[Knob], error: i64, reads_go_on: bool) {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(None);
    let mut tracked = TrackedServer::start(recorder.serve(folder.path()));
    for _ in 0..3 {
        // A fresh write is only in the log, not in the readers' page caches.
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
        assert!(calls > 0, "the fault never occurred");
        recorder.set(Knob::FailedCalls, 0);
        if reads_go_on {
            assert_eq!(refused, 10);
        } else {
            assert!(refused + failed > 0);
        }
        for knob in knobs {
            recorder.set(*knob, 0);
        }
        tracked
            .create()
            .expect("the server recovers without a restart");
        tracked.look(false);
    }
    tracked.finish(folder.path());
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn failed_writes_are_unavailable_and_checks_continue() {
    fail("EIO on write", &[Knob::Write], EIO, true);
}

/// `SQLite` recognises only ENOSPC as a full disk; EDQUOT means the same.
#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn exhausted_quota_counts_as_a_full_disk_and_an_io_error_does_not() {
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
        tracked.delete(live).expect("a revocation has space");
        wait_for_room(&mut tracked);
        tracked.look(false);
        tracked.finish(folder.path());
    }
}

/// Whatever the error, and whichever file it hits: the log, whose sync acknowledges a commit, or the database's
/// file at a checkpoint or at shutdown.
#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn failed_sync_ends_the_process_and_loses_nothing_acknowledged() {
    for knob in [Knob::Sync, Knob::DatabaseSync] {
        for error in [EIO, ENOSPC, EDQUOT] {
            let folder = tempfile::tempdir().unwrap();
            let recorder = Recorder::new(None);
            let mut tracked = TrackedServer::start(recorder.serve(folder.path()));
            recorder.set(knob, error);
            let mut answered = 0;
            while let Ok(outcome) = tracked.try_create() {
                assert_eq!(outcome, Ok(()), "the result of this write is unknown");
                answered += 1;
                assert!(answered < 2_000, "the fault never occurred");
            }
            let known = tracked.known();
            let ended = tracked.server.ended();
            expect(&ended, ExitCode::SyncFailed);
            assert_eq!(ended.log.matches("a sync of the database").count(), 1);
            report(&format!(
                "{error} at {knob:?}: ended after {answered} creates"
            ));
            // A start fails the same way.
            let again = Server::spawn(recorder.serve(folder.path()));
            expect(
                &again.err().expect("every sync fails"),
                ExitCode::SyncFailed,
            );
            recorder.set(knob, 0);
            TrackedServer::again(recorder.serve(folder.path()), known).finish(folder.path());
        }
    }
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn failed_reads_are_unavailable_and_never_a_wrong_reply() {
    fail("EIO on read", &[Knob::Read], EIO, false);
}

/// The kernel remounts read-only after a disk error even while files are open for writing, which it refuses to an
/// operator, so the recorder simulates it.
#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn read_only_disk_refuses_writes_and_checks_continue() {
    fail("EROFS", &[Knob::Write, Knob::Open], EROFS, true);
}
