//! What it costs to write down last uses: verifications of 100,000 different tokens, with the job that writes
//! their last uses and without it, in turns. Within each turn with the job it writes all 100,000 once, as it
//! does once a minute, so what a turn loses is also told as a share of a minute.
//!
//! There is no network in this: the share of a verification over HTTP is smaller.

use std::{
    error::Error,
    hint::black_box,
    io::{Write, stdout},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hallpass::{
    app::{
        App, AppOptions,
        caller::Caller,
        tokens::CreateToken,
        usage::Usage,
        verify::{Question, Verification},
    },
    domain::{
        cidr::CidrSet,
        clock::{Clock, SystemClock},
        id::{TokenId, UserId},
        note::Note,
        scope::ScopeSet,
        secret::Secret,
        time::Timestamp,
        token::Token,
        token_text::{TokenPrefix, TokenText},
        user::{Role, User, UserKind, Username},
    },
    store::{self, Db, OpenAs, StoreOptions, tokens, users},
};
use tokio::sync::watch;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const TOKENS: usize = 100_000;
const CLIENTS: usize = 8;
const ROUNDS: usize = 7;
const TURN: Duration = Duration::from_secs(15);
const MINUTE: Duration = Duration::from_mins(1);

/// The real time, and what it is made to be ahead.
#[derive(Debug, Default)]
struct BenchClock(AtomicI64);

impl Clock for BenchClock {
    fn now(&self) -> Timestamp {
        let ahead = self.0.load(Ordering::Relaxed);
        Timestamp::from_micros(SystemClock.now().as_micros() + ahead)
    }
}

/// What a turn showed.
struct Turn {
    /// Verifications a second.
    rate: f64,
    /// The slowest of the tokens that were created meanwhile.
    slowest_create: Duration,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = folder.path().join("hallpass.db");
    let db = Db::open(&StoreOptions::new(path, OpenAs::Serve))?;
    let (user, ids, texts) = fill(&db).await?;
    let texts: Arc<[String]> = texts.into();
    let clock = Arc::new(BenchClock::default());
    let options = AppOptions {
        max_tokens_per_user: u32::MAX,
        ..AppOptions::default()
    };
    let app = App::start(db.clone(), Arc::<BenchClock>::clone(&clock), options).await?;
    let (mut costs, mut held_up) = (vec![], vec![]);
    for round in 0..ROUNDS {
        let without = turn(&app, &texts, user, async {}).await?;
        let (stop, stopped) = watch::channel(false);
        let jobs = tokio::spawn({
            let app = app.clone();
            async move { app.run_jobs(stopped).await }
        });
        // All tokens were used by now: the job finds the minute over.
        let minute_over = async {
            tokio::time::sleep(TURN / 5).await;
            let ahead = i64::try_from(MINUTE.as_micros()).unwrap_or(i64::MAX);
            clock.0.fetch_add(ahead, Ordering::Relaxed);
        };
        let since = clock.now();
        let with = turn(&app, &texts, user, minute_over).await?;
        if !all_written(&db, ids[0], since).await? {
            return Err("the job did not end within its turn".into());
        }
        stop.send(true)?;
        jobs.await?;
        let lost = 1.0 - with.rate / without.rate;
        let of_a_minute = lost * TURN.as_secs_f64() / MINUTE.as_secs_f64();
        line(&format!(
            "round {}: {:.0}/s without, {:.0}/s with: {:.2} % of a minute; slowest create {:.1?} and {:.1?}",
            round + 1,
            without.rate,
            with.rate,
            of_a_minute * 100.0,
            without.slowest_create,
            with.slowest_create
        ));
        costs.push((of_a_minute * 100.0, 1e9 / without.rate));
        held_up.push(with.slowest_create);
    }
    costs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let (median, nanos) = costs[ROUNDS / 2];
    let note = note_nanos(&ids);
    line(&format!(
        "writing: {median:.2} % of a minute's verifications ({:.2}–{:.2}); noting: {note:.0} ns, {:.2} % of one",
        costs[0].0,
        costs[ROUNDS - 1].0,
        note / nanos * 100.0
    ));
    held_up.sort_unstable();
    line(&format!(
        "slowest create beside it: {:.1?} (median)",
        held_up[ROUNDS / 2]
    ));
    Ok(())
}

/// Verifies for a turn, and creates a token now and then, while `beside` happens.
async fn turn(app: &App, texts: &Arc<[String]>, user: UserId, beside: impl Future) -> Result<Turn> {
    let begin = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (app, texts, next) = (app.clone(), Arc::clone(texts), Arc::clone(&next));
            tokio::spawn(async move {
                while begin.elapsed() < TURN {
                    let at = next.fetch_add(1, Ordering::Relaxed) % texts.len();
                    let token = Secret::new(texts[at].clone());
                    let question = Question::parse(token, [], "192.0.2.1")?;
                    let answer = app.verify(question).await?;
                    assert!(matches!(answer, Verification::Valid(_)));
                }
                Ok::<_, hallpass::app::Error>(())
            })
        })
        .collect();
    let creates = async {
        let mut slowest = Duration::ZERO;
        while begin.elapsed() < TURN {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let request = CreateToken {
                user_id: user.to_string(),
                ..CreateToken::default()
            };
            let asked = Instant::now();
            app.create_token(&Caller::local(0, app.now()), request)
                .await?;
            slowest = slowest.max(asked.elapsed());
        }
        Ok::<_, hallpass::app::Error>(slowest)
    };
    let (_, slowest_create) = tokio::join!(beside, creates);
    for client in clients {
        client.await??;
    }
    let verified = u32::try_from(next.load(Ordering::Relaxed))?;
    Ok(Turn {
        rate: f64::from(verified) / begin.elapsed().as_secs_f64(),
        slowest_create: slowest_create?,
    })
}

/// The job writes from the youngest token to the oldest.
async fn all_written(db: &Db, oldest: TokenId, since: Timestamp) -> Result<bool> {
    let token = db
        .read::<_, store::Error>(move |tx| tokens::find(tx, oldest))
        .await?;
    let last_use = token.and_then(|token| token.last_use);
    Ok(last_use.is_some_and(|last| last.time >= since))
}

/// How long it takes to note a use in memory.
fn note_nanos(ids: &[TokenId]) -> f64 {
    let now = SystemClock.now();
    let usage = Usage::new(now);
    let ip = Some([192, 0, 2, 1].into());
    let note = || {
        ids.iter()
            .for_each(|id| black_box(&usage).note(*id, now, ip))
    };
    note();
    let begin = Instant::now();
    (0..10).for_each(|_| note());
    begin.elapsed().as_secs_f64() * 1e9 / (10.0 * f64::from(u32::try_from(ids.len()).unwrap_or(1)))
}

/// 100,000 tokens, oldest first.
async fn fill(db: &Db) -> Result<(UserId, Vec<TokenId>, Vec<String>)> {
    let now = SystemClock.now();
    let user = User {
        id: UserId::generate(now),
        username: Username::parse("alice")?,
        kind: UserKind::Person,
        role: Role::Member,
        description: Note::default(),
        create_time: now,
        update_time: now,
        deactivated: false,
    };
    let id = user.id;
    db.write::<_, store::Error>(move |tx| users::insert(tx, &user, None))
        .await?;
    let (mut ids, mut texts) = (vec![], vec![]);
    while ids.len() < TOKENS {
        let mut chunk = vec![];
        for _ in 0..10_000 {
            let created = now.minus(Duration::from_secs(u64::try_from(TOKENS - ids.len())?));
            let token = token(id, created);
            let text = TokenText::generate(&TokenPrefix::default(), token.id);
            ids.push(token.id);
            texts.push(text.expose().to_owned());
            chunk.push((token, text.hash()));
        }
        db.write::<_, store::Error>(move |tx| {
            let mut rows = chunk.iter();
            rows.try_for_each(|(token, hash)| tokens::insert(tx, token, hash))
        })
        .await?;
    }
    // Verified in an order that is not that of the table.
    texts.sort_unstable_by_key(|text| text.as_bytes()[text.len() - 12..].to_owned());
    Ok((id, ids, texts))
}

fn token(user_id: UserId, create_time: Timestamp) -> Token {
    let id = TokenId::generate(create_time);
    Token {
        id,
        user_id,
        note: Note::default(),
        scopes: ScopeSet::default(),
        allowed_cidrs: CidrSet::default(),
        create_time,
        expire_time: None,
        disabled: false,
        parent_id: None,
        family_id: id,
        delete_time: None,
        successor_id: None,
        last_use: None,
    }
}

fn line(text: &str) {
    // That nobody reads on is no reason to fail.
    drop(writeln!(stdout(), "{text}"));
}
