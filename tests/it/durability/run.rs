//! A recorded run of the real binary, and what was acknowledged at each point of it.

use std::{
    collections::{BTreeMap, HashMap},
    fs, mem,
    net::SocketAddr,
    path::Path,
    thread,
    time::Duration,
};

use hallpass::cli::exit_code::ExitCode;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    client::{Client, id_of},
    recorder::{Knob, Recorder},
    recording::{self, Event},
    recovered::State,
    server::{PASSWORD, Server, database, expect},
};

const WRITERS: usize = 4;
const MOST_RECOVERY_CUTS: usize = 60;
pub(super) const SEED: u64 = 0x5eed;

/// What a client requested, in order, and the result.
enum Sent {
    Create(String),
    Delete(String),
    /// A deletion without a reply: it may have happened or not.
    TryDelete(String),
    /// Any other reply.
    Nothing,
}

pub(super) struct RecordedRun {
    pub(super) events: Vec<Event>,
    /// By the client's port.
    asked: HashMap<u16, Vec<Sent>>,
}

impl RecordedRun {
    /// Creates and deletes tokens, from the first start on an empty folder to a clean shutdown.
    pub(super) fn record(operations: usize) -> Self {
        Self::record_with(1, operations, |_, _| {})
    }

    /// The same over many starts of the server, each of which but the last ends with a failed sync.
    pub(super) fn record_lives(lives: usize) -> Self {
        const ERRORS: [i64; 3] = [5, 28, 122];
        let mut dice = StdRng::seed_from_u64(SEED);
        Self::record_with(lives, 600, move |recorder, life| {
            // A moment is what is wanted here, not an event.
            thread::sleep(Duration::from_micros(dice.random_range(500..40_000)));
            let knob = [Knob::Sync, Knob::DatabaseSync][life % 2];
            recorder.set(knob, ERRORS[life % ERRORS.len()]);
        })
    }

    fn record_with(
        lives: usize,
        operations: usize,
        mut disturb: impl FnMut(&Recorder, usize) + Send,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = tempfile::tempdir().unwrap();
        let log = log.path().join("log");
        let recorder = Recorder::new(Some(log.clone()));
        let mut asked: HashMap<u16, Vec<Sent>> = HashMap::new();
        let (mut admin, mut live) = (None, vec![Vec::new(); WRITERS]);
        for life in 1..=lives {
            let server = Server::spawn(recorder.serve(folder.path())).expect("the server starts");
            let admin = &*admin.get_or_insert_with(|| {
                let mut client = Client::connect(server.address).unwrap();
                let admin = client.sign_in(PASSWORD).unwrap().text("token");
                asked.insert(client.port(), vec![Sent::Create(admin.clone())]);
                admin
            });
            let written = thread::scope(|scope| {
                let writers: Vec<_> = (life * WRITERS..)
                    .zip(mem::take(&mut live))
                    .map(|(seed, live)| {
                        let (address, asked) = (server.address, &asked);
                        scope.spawn(move || write(address, asked, admin, seed, operations, live))
                    })
                    .collect();
                if life < lives {
                    disturb(&recorder, life);
                }
                writers
                    .into_iter()
                    .map(|writer| writer.join().unwrap())
                    .collect::<Vec<_>>()
            });
            for (port, its, still_live) in written {
                asked.insert(port, its);
                live.push(still_live);
            }
            if life < lives {
                // At the latest when the server truncates the log.
                expect(&server.terminated(), ExitCode::SyncFailed);
                recorder.set(Knob::Sync, 0);
                recorder.set(Knob::DatabaseSync, 0);
            } else {
                server.stop();
            }
        }
        let events = recording::read(&fs::read(log).unwrap());
        Self { events, asked }
    }

    /// Points at which an owner has begun to use the log that it found: while it copies the log into the
    /// database's file.
    pub(super) fn cuts_in_recoveries(&self) -> Vec<usize> {
        let (mut log, mut base, mut cuts) = (None, None, Vec::new());
        let mut recovers = false;
        for (at, event) in self.events.iter().enumerate() {
            match event {
                Event::Create { name, inode } if name.ends_with("-wal") => log = Some(*inode),
                Event::Create { name, inode } if Path::new(name) == database(Path::new("")) => {
                    base = Some(*inode);
                }
                Event::Write { inode, .. } if recovers && Some(*inode) == base => {
                    cuts.push(at + 1);
                }
                Event::Sync { inode } if Some(*inode) == base => recovers = false,
                event if recording::writes_anew(event, log) => recovers = true,
                _ => {}
            }
        }
        let step = cuts.len() / MOST_RECOVERY_CUTS + 1;
        cuts.into_iter().step_by(step).collect()
    }

    /// How many syncs of the log and of the database's file failed.
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

    pub(super) fn answers(&self) -> usize {
        self.asked.values().map(Vec::len).sum()
    }

    /// The tokens as they must be if the power is cut before the event `cut`.
    pub(super) fn known(&self, cut: usize) -> Vec<(&str, State)> {
        let mut answered: HashMap<u16, usize> = HashMap::new();
        for event in &self.events[..cut] {
            if let Event::Reply { port } = event {
                *answered.entry(*port).or_default() += 1;
            }
        }
        let answered = |port| answered.get(port).copied().unwrap_or(0);
        // All clients' creations first, since another client may delete a token.
        let mut known: BTreeMap<&str, State> = BTreeMap::new();
        for (port, asked) in &self.asked {
            for asked in &asked[..answered(port)] {
                if let Sent::Create(token) = asked {
                    known.insert(token, State::Live);
                }
            }
        }
        for (port, asked) in &self.asked {
            for (at, asked) in asked.iter().take(answered(port) + 1).enumerate() {
                let (Sent::Delete(token) | Sent::TryDelete(token)) = asked else {
                    continue;
                };
                let is_done = at < answered(port) && matches!(asked, Sent::Delete(_));
                // A client without replies so far has requested nothing.
                if let Some(state) = known.get_mut(token.as_str()) {
                    *state = if is_done {
                        State::Deleted
                    } else {
                        State::Either
                    };
                }
            }
        }
        known.into_iter().collect()
    }

    /// Points spread over the whole run, over the first start, and right after replies: the latest
    /// acknowledgement is the first to be lost.
    pub(super) fn cuts(&self, count: usize) -> Vec<usize> {
        let mut dice = StdRng::seed_from_u64(SEED);
        let answers: Vec<_> = (0..self.events.len())
            .filter(|at| matches!(self.events[*at], Event::Reply { .. }))
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

/// A writer's result: its port, its requests, and its live tokens.
type Written = (u16, Vec<Sent>, Vec<String>);

/// Creates and deletes over one connection until it has done enough or the server is gone.
fn write(
    server: SocketAddr,
    before: &HashMap<u16, Vec<Sent>>,
    admin: &str,
    seed: usize,
    operations: usize,
    mut live: Vec<String>,
) -> Written {
    // The recorder identifies the client by its port.
    let mut client = loop {
        match Client::connect(server) {
            Ok(client) if before.contains_key(&client.port()) => {}
            Ok(client) => break client,
            Err(_) => return (0, Vec::new(), live),
        }
    };
    let mut dice = StdRng::seed_from_u64(SEED + seed as u64);
    let mut asked = Vec::new();
    for _ in 0..operations {
        if !live.is_empty() && dice.random_bool(0.4) {
            let token: String = live.swap_remove(dice.random_range(0..live.len()));
            let Ok(reply) = client.delete(admin, &id_of(&token)) else {
                asked.push(Sent::TryDelete(token));
                break;
            };
            assert_eq!(reply.outcome(), "ok");
            asked.push(Sent::Delete(token));
        } else {
            let Ok(reply) = client.create(admin, "power") else {
                asked.push(Sent::Nothing);
                break;
            };
            assert_eq!(reply.outcome(), "ok");
            let token = reply.text("token");
            live.push(token.clone());
            asked.push(Sent::Create(token));
        }
    }
    (client.port(), asked, live)
}
