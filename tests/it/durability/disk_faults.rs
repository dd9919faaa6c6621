//! The disk fails: calls of the running server get EIO or EROFS, as a kernel gives them.

use super::{
    recorder::{Knob, Recorder},
    report,
    standing::{Standing, UNAVAILABLE},
};

const EIO: i64 = 5;
const EROFS: i64 = 30;

/// Makes `knobs` fail with `error`, then no more.
fn fail(name: &str, knobs: &[Knob], error: i64, reads_go_on: bool) {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(None);
    let mut standing = Standing::start(recorder.serve(folder.path()));
    for _ in 0..3 {
        // What was just written is in the log alone, and not in the readers' memory.
        standing.create().unwrap();
        for knob in knobs {
            recorder.set(*knob, error);
        }
        let (mut answered, mut failed, mut refused) = (0, 0, 0);
        for _ in 0..5 {
            let live = standing.some_live();
            for outcome in [standing.create(), standing.delete(live)] {
                if let Err(outcome) = outcome {
                    assert_eq!(outcome, UNAVAILABLE);
                    refused += 1;
                }
            }
            let (a, f) = standing.look(!reads_go_on);
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
        standing.create().expect("it recovers without a restart");
        standing.look(false);
    }
    standing.finish(folder.path());
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn writes_that_fail_are_unavailable_and_checks_go_on() {
    fail("EIO on write", &[Knob::Write], EIO, true);
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn syncs_that_fail_are_unavailable_and_checks_go_on() {
    fail("EIO on sync", &[Knob::Sync], EIO, true);
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
