//! The power is cut at any time, and the disk keeps any part of what was not synced.

use std::{cell::Cell, collections::BTreeMap, fs, os::unix::fs::PermissionsExt, thread};

use rand::{SeedableRng as _, rngs::StdRng};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::{
    disk_model::{Disk, Image, Kept},
    full, in_memory,
    recording::{Synchronous, counting},
    recovered::{Losses, State, compare, findings, tally},
    report,
    run::{RecordedRun, SEED},
    server::database,
};

/// The results of all images of one setting.
#[derive(Debug, Default)]
struct ImageResults {
    images: usize,
    acknowledged: usize,
    damaged: usize,
    losses: Losses,
    /// By what the disk kept of unsynced writes.
    lost_by_kept: BTreeMap<Kept, usize>,
    first: Option<String>,
}

struct ImageChecker {
    /// Each image has its own folder: a thread that still closes the previous image's database would delete the
    /// log of the next.
    folder: TempDir,
    images: Cell<usize>,
    runtime: Runtime,
}

impl ImageChecker {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self {
            folder: in_memory(),
            images: Cell::default(),
            runtime,
        }
    }

    /// Starts on the image, checks it and compares it with what was acknowledged.
    fn judge(&self, image: &Image, known: &[(&str, State)]) -> Result<Losses, String> {
        let folder = |image: usize| self.folder.path().join(image.to_string());
        let before = self.images.replace(self.images.get() + 1);
        drop(fs::remove_dir_all(folder(before)));
        let folder = folder(before + 1);
        fs::create_dir(&folder).unwrap();
        for (name, bytes) in image {
            let path = folder.join(name);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let findings = self.runtime.block_on(findings(&folder))?;
        if !findings.is_empty() {
            return Err(findings.join("; "));
        }
        assert!(database(&folder).exists());
        compare(&folder, known).map_err(|error| error.to_string())
    }
}

fn cut_power(
    run: &RecordedRun,
    cuts: &[usize],
    synchronous: Synchronous,
    kept: &[Kept],
) -> ImageResults {
    let judge = ImageChecker::new();
    let counts = counting(&run.events, synchronous);
    let mut dice = StdRng::seed_from_u64(SEED);
    let (mut disk, mut done) = (Disk::default(), 0);
    let mut outcome = ImageResults::default();
    for &cut in cuts {
        for (event, counts) in run.events[done..cut].iter().zip(&counts[done..cut]) {
            disk.apply(event, *counts);
        }
        done = cut;
        let known = run.known(cut);
        for &kept in kept {
            outcome.images += 1;
            outcome.acknowledged += known.len();
            match judge.judge(&disk.image(kept, &mut dice), &known) {
                Ok(losses) => {
                    let Losses {
                        lost,
                        back,
                        deleted,
                        unaudited,
                    } = losses;
                    tally(&mut outcome.lost_by_kept, &kept, losses.sum());
                    outcome.losses.lost += lost;
                    outcome.losses.back += back;
                    outcome.losses.deleted += deleted;
                    outcome.losses.unaudited += unaudited;
                }
                Err(problem) => {
                    outcome.damaged += 1;
                    let first = || format!("at {cut}, {kept:?} kept: {problem}");
                    outcome.first.get_or_insert_with(first);
                }
            }
        }
    }
    outcome
}

#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn power_cut_loses_nothing_acknowledged_but_would_with_a_weaker_setting() {
    let run = RecordedRun::record(if full() { 800 } else { 400 });
    let cuts = run.cuts(if full() { 600 } else { 240 });
    assert!(cuts.len() >= 200);
    let kept = [
        Kept::Nothing,
        Kept::Some,
        Kept::Some,
        Kept::Torn,
        Kept::Torn,
        Kept::All,
    ];
    let [full, normal, off] = thread::scope(|scope| {
        let (run, cuts) = (&run, &cuts);
        let few: Vec<_> = cuts.iter().copied().step_by(4).collect();
        let proof = scope.spawn(move || cut_power(run, cuts, Synchronous::Full, &kept));
        let controls = scope.spawn(move || {
            [Synchronous::Normal, Synchronous::Off]
                .map(|setting| cut_power(run, &few, setting, &kept))
        });
        let [normal, off] = controls.join().unwrap();
        [proof.join().unwrap(), normal, off]
    });
    report(&format!(
        "power cut: {} calls recorded, {} answers, {} cut points\n  FULL: {full:?}\n  NORMAL: {normal:?}\n  OFF: {off:?}",
        run.events.len(),
        run.answers(),
        cuts.len(),
    ));
    assert_eq!((full.losses.sum(), full.damaged), (0, 0), "{full:?}");
    assert!(full.acknowledged > 0);
    // The controls must lose something.
    for control in [normal, off] {
        assert!(control.losses.sum() + control.damaged > 0, "{control:?}");
    }
}

/// A kernel that fails to write a page marks it clean and keeps it in its cache: the next process reads
/// data that the disk does not have.
#[test]
#[ignore = "needs a C compiler: tests/run runs this"]
fn power_cut_after_failed_syncs_loses_nothing_acknowledged() {
    let run = RecordedRun::record_lives(if full() { 80 } else { 25 });
    let (of_log, of_database) = run.failed_syncs();
    let mut cuts = run.cuts(if full() { 300 } else { 120 });
    let recoveries = run.cuts_in_recoveries();
    cuts.extend(&recoveries);
    cuts.sort_unstable();
    let kept = [Kept::Nothing, Kept::Some, Kept::Torn, Kept::All];
    let outcome = cut_power(&run, &cuts, Synchronous::Full, &kept);
    // The control: an owner that trusts the log as it reads it.
    let kept = [Kept::Nothing, Kept::Some, Kept::Some, Kept::Torn];
    let trusting = cut_power(&run, &recoveries, Synchronous::Trusting, &kept);
    report(&format!(
        "power cut after {of_log} failed syncs of the log and {of_database} of the database, {} answers, \
         {} cut points: {outcome:?}\n  {} cut points in recoveries, log not written anew: {trusting:?}",
        run.answers(),
        cuts.len(),
        recoveries.len(),
    ));
    assert!(
        of_log > 5 && of_database > 5,
        "too few failures to prove anything"
    );
    assert_eq!(
        (outcome.losses.sum(), outcome.damaged),
        (0, 0),
        "{outcome:?}"
    );
    assert!(trusting.losses.sum() + trusting.damaged > 0);
}
