//! What it costs to record last uses: each round verifies 100,000 different tokens without the job that writes
//! their last uses, then with it. With the job, all 100,000 are written once, as happens once a minute. Printed is CPU
//! time, which other work on the machine disturbs less than rates: of a verification, of noting one use, of writing
//! 100,000; and the last two as a share of a minute in which both cores verify.
//!
//! Nothing goes over the network here: of a verification over HTTP the share is smaller.

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
        background::last_use::{Flush, LastUses},
        caller::{Caller, ClientInfo},
        error::FieldError,
        tokens::CreateToken,
        verify::{Verification, VerifyToken},
    },
    cli::bench::server::cpu_time,
    domain::{
        cidr::CidrSet,
        clock::{Clock, SystemClock},
        id::{RequestId, TokenId, UserId},
        note::Note,
        presented_token::PresentedToken,
        scope::ScopeSet,
        time::Timestamp,
        token::{LastUse, Token},
        token_text::{TokenPrefix, TokenText},
        user::{Role, User, UserKind, Username},
    },
    store::{self, Db, OpenAs, StoreOptions, tokens, users},
};
use tokio::sync::watch;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const TOKENS: usize = 100_000;
const CLIENTS: usize = 8;
const ROUNDS: usize = 5;
const MEASURED_FOR: Duration = Duration::from_secs(10);
/// The CPU time that the two threads that verify have in a minute, in seconds.
const MINUTE_CPU: f64 = 120.0;
const MINUTE: Duration = Duration::from_mins(1);

/// The real time, moved ahead by so many microseconds.
#[derive(Debug, Default)]
struct BenchClock(AtomicI64);

impl Clock for BenchClock {
    fn now(&self) -> Timestamp {
        let ahead = self.0.load(Ordering::Relaxed);
        Timestamp::from_micros(SystemClock.now().as_micros() + ahead)
    }
}

struct Measured {
    /// Verifications.
    count: f64,
    /// CPU time of the process, in seconds.
    cpu: f64,
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
    let db = Db::open(&StoreOptions::sqlite(path, OpenAs::Serve))?;
    let (user, ids, texts) = fill(&db).await?;
    let texts: Arc<[String]> = texts.into();
    let clock = Arc::new(BenchClock::default());
    let options = AppOptions {
        max_tokens_per_user: u32::MAX,
        ..AppOptions::default()
    };
    let app = App::start(db.clone(), Arc::<BenchClock>::clone(&clock), options).await?;
    let mut shares = vec![];
    for round in 0..ROUNDS {
        let without = measure(&app, &texts, user, async {}).await?;
        let (stop, stopped) = watch::channel(false);
        let jobs = tokio::spawn({
            let app = app.clone();
            async move { app.run_jobs(stopped).await }
        });
        // All tokens were used by now: the job finds the minute over.
        let minute_over = async {
            tokio::time::sleep(MEASURED_FOR / 5).await;
            let ahead = i64::try_from(MINUTE.as_micros()).unwrap_or(i64::MAX);
            clock.0.fetch_add(ahead, Ordering::Relaxed);
        };
        let since = clock.now();
        let with = measure(&app, &texts, user, minute_over).await?;
        if !all_written(&db, ids[0], since).await? {
            return Err("the job did not end in time".into());
        }
        stop.send(true)?;
        jobs.await?;
        let each = without.cpu / without.count;
        let (note, alone) = (note_secs(&ids)?, write_alone(&app, &texts).await?);
        let beside = with.cpu - with.count * each;
        let share = note / each + alone / MINUTE_CPU;
        shares.push(share * 100.0);
        line(&format!(
            "round {}: a verification {:.1} µs, noting {:.0} ns, writing {alone:.2} s ({beside:.2} s beside \
             verifications): {:.2} %; slowest create {:.0?} with, {:.0?} without",
            round + 1,
            each * 1e6,
            note * 1e9,
            share * 100.0,
            with.slowest_create,
            without.slowest_create,
        ));
    }
    shares.sort_by(f64::total_cmp);
    line(&format!(
        "100,000 different tokens a minute: {:.2} % of verification ({:.2}–{:.2}), at most 5 wanted",
        shares[ROUNDS / 2],
        shares[0],
        shares[ROUNDS - 1]
    ));
    Ok(())
}

/// Verifies for a while, and creates a token now and then, while `beside` happens.
async fn measure(
    app: &App,
    texts: &Arc<[String]>,
    user: UserId,
    beside: impl Future,
) -> Result<Measured> {
    let (begin, cpu) = (Instant::now(), cpu_secs()?);
    let next = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (app, texts, next) = (app.clone(), Arc::clone(texts), Arc::clone(&next));
            let local = local(&app);
            tokio::spawn(async move {
                while begin.elapsed() < MEASURED_FOR {
                    let at = next.fetch_add(1, Ordering::Relaxed) % texts.len();
                    let question = question(&texts[at])?;
                    let answer = app.verify_credential(question, local.client()).await?;
                    assert!(matches!(answer, Verification::Valid(_)));
                }
                Ok::<_, hallpass::app::Error>(())
            })
        })
        .collect();
    let creates = async {
        let mut slowest = Duration::ZERO;
        while begin.elapsed() < MEASURED_FOR {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let request = CreateToken {
                user_id: user.to_string(),
                ..CreateToken::default()
            };
            let asked = Instant::now();
            app.create_token(&local(app), request).await?;
            slowest = slowest.max(asked.elapsed());
        }
        Ok::<_, hallpass::app::Error>(slowest)
    };
    let (_, slowest_create) = tokio::join!(beside, creates);
    for client in clients {
        client.await??;
    }
    let verified = u32::try_from(next.load(Ordering::Relaxed))?;
    Ok(Measured {
        count: f64::from(verified),
        cpu: cpu_secs()? - cpu,
        slowest_create: slowest_create?,
    })
}

/// A process on this machine.
fn local(app: &App) -> Caller {
    let origin = ClientInfo {
        request_id: RequestId::generate(app.now()),
        client_request_id: None,
        ip: None,
        user_agent: String::new(),
    };
    Caller::local(0, origin)
}

/// The job writes from the youngest token to the oldest.
async fn all_written(db: &Db, oldest: TokenId, since: Timestamp) -> Result<bool> {
    let token = db
        .read::<_, store::Error>(move |tx| tokens::find(tx, oldest))
        .await?;
    let last_use = token.and_then(|token| token.last_use);
    Ok(last_use.is_some_and(|last| last.time >= since))
}

/// What it takes to note a use in memory.
fn note_secs(ids: &[TokenId]) -> Result<f64> {
    const PASSES: u32 = 30;
    let now = SystemClock.now();
    let usage = LastUses::new(now);
    let ip = Some([192, 0, 2, 1].into());
    let note = || {
        for id in ids {
            black_box(&usage).note(*id, LastUse::seen(now, ip));
        }
    };
    note();
    let begin = cpu_secs()?;
    for _ in 0..PASSES {
        note();
    }
    let passes = f64::from(PASSES) * f64::from(u32::try_from(ids.len())?);
    Ok((cpu_secs()? - begin) / passes)
}

/// What it takes to write the last uses of all tokens, while nothing else is done.
async fn write_alone(app: &App, texts: &[String]) -> Result<f64> {
    app.flush_uses(Flush::Now).await?;
    let local = local(app);
    for text in texts {
        app.verify_credential(question(text)?, local.client())
            .await?;
    }
    let begin = cpu_secs()?;
    app.flush_uses(Flush::Now).await?;
    Ok(cpu_secs()? - begin)
}

/// CPU time of this process so far.
fn cpu_secs() -> Result<f64> {
    let time = cpu_time(std::process::id()).ok_or("the system tells no CPU time")?;
    Ok(time.as_secs_f64())
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

fn question(text: &str) -> std::result::Result<VerifyToken, FieldError> {
    VerifyToken::parse(PresentedToken::parse(text), [], "192.0.2.1")
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
        disabled: None,
        parent_id: None,
        family_id: id,
        delete_time: None,
        successor_id: None,
        last_use: None,
        reuse_time: None,
    }
}

fn line(text: &str) {
    // A closed stdout is no reason to fail.
    drop(writeln!(stdout(), "{text}"));
}
