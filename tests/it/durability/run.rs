//! A run of the real binary under the recorder, and what was promised at each moment of it.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    client::{Client, id_of},
    recorder::{Knob, Recorder},
    recording::{self, Event},
    recovered::State,
    server::{PASSWORD, Server, database},
    standing::UNAVAILABLE,
};

const WRITERS: usize = 4;
pub(super) const SEED: u64 = 0x5eed;

/// What a client asked for, in order, and was answered.
enum Asked {
    Create(String),
    Delete(String),
    /// A deletion that was answered by an error: whether it happened is not promised.
    TryDelete(String),
    /// Whatever else was answered.
    Nothing,
}

/// A run of the real binary.
pub(super) struct Run {
    pub(super) events: Vec<Event>,
    /// By the client's port.
    asked: HashMap<u16, Vec<Asked>>,
}

impl Run {
    /// Creates and deletes tokens, from the first start on an empty folder to an orderly end. `sync_fails`:
    /// now and then the disk does not take what it is to make safe.
    pub(super) fn record(operations: usize, sync_fails: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = tempfile::tempdir().unwrap();
        let log = log.path().join("log");
        let recorder = Recorder::new(Some(log.clone()));
        let server = Server::spawn(recorder.serve(folder.path())).expect("it serves");
        let mut client = Client::connect(server.address).unwrap();
        let admin = client.sign_in(PASSWORD).unwrap().text("token");
        let mut asked = HashMap::from([(client.port(), vec![Asked::Create(admin.clone())])]);
        let working = AtomicBool::new(true);
        thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|number| {
                    let (address, admin) = (server.address, &admin);
                    scope.spawn(move || write(address, admin, number, operations))
                })
                .collect();
            if sync_fails {
                let (recorder, working) = (&recorder, &working);
                scope.spawn(move || disturb(recorder, working));
            }
            asked.extend(writers.into_iter().map(|writer| writer.join().unwrap()));
            working.store(false, Ordering::Relaxed);
        });
        server.stop();
        let events = recording::read(&fs::read(log).unwrap());
        Self { events, asked }
    }

    /// How many syncs failed: of the log, and of the database's own file.
    pub(super) fn failed_syncs(&self) -> (usize, usize) {
        let mut inode_of_database = None;
        let (mut of_log, mut of_database) = (0, 0);
        for event in &self.events {
            match event {
                Event::Create { name, inode } if database(Path::new("")) == Path::new(name) => {
                    inode_of_database = Some(*inode);
                }
                Event::SyncFailed { inode } if Some(*inode) == inode_of_database => {
                    of_database += 1;
                }
                Event::SyncFailed { .. } => of_log += 1,
                _ => {}
            }
        }
        (of_log, of_database)
    }

    /// How many answers there were.
    pub(super) fn answers(&self) -> usize {
        self.asked.values().map(Vec::len).sum()
    }

    /// The tokens as they must be if the power goes before the event `cut`.
    pub(super) fn known(&self, cut: usize) -> Vec<(&str, State)> {
        let mut answered: HashMap<u16, usize> = HashMap::new();
        for event in &self.events[..cut] {
            if let Event::Answer { port } = event {
                *answered.entry(*port).or_default() += 1;
            }
        }
        let mut known: BTreeMap<&str, State> = BTreeMap::new();
        for (port, asked) in &self.asked {
            let answered = answered.get(port).copied().unwrap_or(0);
            for asked in &asked[..answered] {
                match asked {
                    Asked::Create(token) => known.insert(token, State::Live),
                    Asked::Delete(token) => known.insert(token, State::Deleted),
                    Asked::TryDelete(token) => known.insert(token, State::Either),
                    Asked::Nothing => None,
                };
            }
            if let Some(Asked::Delete(token) | Asked::TryDelete(token)) = asked.get(answered) {
                known.insert(token, State::Either);
            }
        }
        known.into_iter().collect()
    }

    /// Moments spread over all, and again over the first start, and those right after an answer: what was
    /// promised last is what is lost first.
    pub(super) fn cuts(&self, count: usize) -> Vec<usize> {
        let mut dice = StdRng::seed_from_u64(SEED);
        let answers: Vec<_> = (0..self.events.len())
            .filter(|at| matches!(self.events[*at], Event::Answer { .. }))
            .collect();
        let mut cuts = Vec::new();
        for _ in 0..count / 3 {
            cuts.push(dice.random_range(0..=self.events.len()));
            cuts.push(answers[dice.random_range(0..answers.len())] + 1);
            cuts.push(dice.random_range(0..=answers[0]));
        }
        cuts.sort_unstable();
        cuts
    }
}

/// Creates and deletes over one connection.
fn write(server: SocketAddr, admin: &str, number: usize, operations: usize) -> (u16, Vec<Asked>) {
    let mut client = Client::connect(server).unwrap();
    let mut dice = StdRng::seed_from_u64(SEED + number as u64);
    let (mut asked, mut live) = (Vec::new(), Vec::new());
    for _ in 0..operations {
        if !live.is_empty() && dice.random_bool(0.4) {
            let token: String = live.swap_remove(dice.random_range(0..live.len()));
            let reply = client.delete(admin, &id_of(&token)).unwrap();
            asked.push(match reply.outcome().as_str() {
                "ok" => Asked::Delete(token),
                outcome => {
                    assert_eq!(outcome, UNAVAILABLE);
                    Asked::TryDelete(token)
                }
            });
        } else {
            let reply = client.create(admin, "power").unwrap();
            asked.push(match reply.outcome().as_str() {
                "ok" => {
                    let token = reply.text("token");
                    live.push(token.clone());
                    Asked::Create(token)
                }
                outcome => {
                    assert_eq!(outcome, UNAVAILABLE);
                    Asked::Nothing
                }
            });
        }
    }
    (client.port(), asked)
}

/// Makes the syncs of the database's own file fail half of the time, and now and then all of them for a moment,
/// until the writers are done.
fn disturb(recorder: &Recorder, working: &AtomicBool) {
    const EIO: i64 = 5;
    let mut dice = StdRng::seed_from_u64(SEED);
    let mut set = |knob, error, longest_micros| {
        recorder.set(knob, error);
        // Moments are what is wanted here, not events.
        thread::sleep(Duration::from_micros(
            dice.random_range(100..longest_micros),
        ));
    };
    while working.load(Ordering::Relaxed) {
        for _ in 0..5 {
            set(Knob::DatabaseSync, EIO, 20_000);
            set(Knob::DatabaseSync, 0, 20_000);
        }
        set(Knob::Sync, EIO, 1_000);
        recorder.set(Knob::Sync, 0);
    }
}
