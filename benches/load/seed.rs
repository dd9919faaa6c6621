//! Databases with many tokens in them. One of a size is made once and kept in the target folder; each run
//! works on a copy.
//!
//! Half of the tokens are one person's, `alice`: she reads and lists. The others are spread over machines,
//! which create in turn, since a token may have only so many children.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use hallpass::{
    cli::bench::load::Result,
    domain::{
        cidr::CidrSet,
        clock::{Clock, SystemClock},
        id::{TokenId, UserId},
        note::Note,
        scope::ScopeSet,
        time::Timestamp,
        token::Token,
        token_text::{TokenPrefix, TokenText},
        user::{Role, User, UserKind, Username},
    },
    store::{Db, Error, OpenAs, StoreOptions, tokens, users},
};
use serde::{Deserialize, Serialize};

const MACHINES: u64 = 4_000;
/// How many of alice's tokens call and are read.
const READERS: u64 = 5_000;
/// So many rows are written in a transaction.
const CHUNK: u64 = 20_000;

/// The plaintexts that the clients hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Bearers {
    /// Tokens of alice, spread evenly over all of hers.
    pub(crate) readers: Vec<String>,
    /// A token of each machine.
    pub(crate) creators: Vec<String>,
}

/// A database with `tokens` tokens.
pub(crate) struct Seed {
    database: PathBuf,
    pub(crate) bearers: Bearers,
}

impl Seed {
    /// Makes it, unless it is there.
    pub(crate) async fn get(tokens: u64) -> Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seed-{tokens}"));
        let (database, list) = (folder.join("hallpass.db"), folder.join("bearers.json"));
        if !list.exists() {
            drop(fs::remove_dir_all(&folder));
            fs::create_dir_all(&folder)?;
            let begin = Instant::now();
            let bearers = fill(&database, tokens).await?;
            // Written last: without it the database is not whole.
            fs::write(&list, serde_json::to_vec(&bearers)?)?;
            eprintln!("made {tokens} tokens in {:.1?}", begin.elapsed());
        }
        let bearers = serde_json::from_slice(&fs::read(&list)?)?;
        Ok(Self { database, bearers })
    }

    /// A copy at `path`.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<()> {
        fs::copy(&self.database, path)?;
        Ok(())
    }
}

async fn fill(database: &Path, count: u64) -> Result<Bearers> {
    let db = Db::open(&StoreOptions::sqlite(database.to_owned(), OpenAs::Serve))?;
    let now = SystemClock.now();
    let alice = user("alice", UserKind::Person, now);
    let owner = alice.id;
    let machines: Vec<User> = (0..MACHINES)
        .map(|n| user(&format!("machine-{n}"), UserKind::Machine { owner }, now))
        .collect();
    let ids: Vec<UserId> = machines.iter().map(|machine| machine.id).collect();
    db.write::<_, Error>(move |tx| {
        users::insert(tx, &alice, None)?;
        machines.iter().try_for_each(|m| users::insert(tx, m, None))
    })
    .await?;
    let mut bearers = Bearers::default();
    let every = (count / 2 / READERS).max(1);
    for from in (0..count).step_by(usize::try_from(CHUNK)?) {
        let mut chunk = Vec::new();
        for n in from..(from + CHUNK).min(count) {
            let (is_alice, nth) = (n % 2 == 0, n / 2);
            let machine = usize::try_from(nth % MACHINES)?;
            // A microsecond apart each, up to now.
            let time = Timestamp::from_micros(now.as_micros() - i64::try_from(count - n)?);
            let (token, text) = token(if is_alice { owner } else { ids[machine] }, time)?;
            if is_alice && nth % every == 0 {
                bearers.readers.push(text.expose().to_owned());
            }
            if !is_alice && nth < MACHINES {
                bearers.creators.push(text.expose().to_owned());
            }
            chunk.push((token, text.hash()));
        }
        let insert = move |tx: &hallpass::store::Tx<'_>| {
            let mut rows = chunk.iter();
            rows.try_for_each(|(token, hash)| tokens::insert(tx, token, hash))
        };
        db.write::<_, Error>(insert).await?;
    }
    Ok(bearers)
}

fn user(name: &str, kind: UserKind, now: Timestamp) -> User {
    User {
        id: UserId::generate(now),
        username: Username::parse(name).expect("of the form"),
        kind,
        role: Role::Member,
        description: Note::default(),
        create_time: now,
        update_time: now,
        deactivated: false,
    }
}

fn token(user_id: UserId, create_time: Timestamp) -> Result<(Token, TokenText)> {
    let id = TokenId::generate(create_time);
    let token = Token {
        id,
        user_id,
        note: Note::parse("a token of the benchmark".to_owned())?,
        scopes: ScopeSet::default(),
        allowed_cidrs: CidrSet::default(),
        create_time,
        expire_time: None,
        disabled: None,
        parent_id: None,
        family_id: id,
        delete_time: None,
        successor_id: None,
        last_use: None,
        reuse_time: None,
    };
    Ok((token, TokenText::generate(&TokenPrefix::default(), id)))
}
