//! What the handle guarantees, tested on real files.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::Poll,
};

use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    domain::user::Username,
    store::{
        Db, Error, OpenAs, Tx, Unavailable,
        tests::samples::{Folder, hash, person, token},
        tokens, users,
    },
};

/// Blocks the writer until it is dropped, so that writes queued meanwhile form one batch.
pub(super) struct Gate(#[expect(dead_code, reason = "its end opens the gate")] mpsc::Sender<()>);

/// The work that blocks at a gate. A channel tells when it has begun.
type Held = Box<dyn Fn(&Tx<'_>) -> Result<(), Error> + Send>;

fn hold() -> (Gate, Held, oneshot::Receiver<()>) {
    let (gate, opened) = mpsc::channel::<()>();
    let (begun, begins) = oneshot::channel();
    let (opened, begun) = (Mutex::new(opened), Mutex::new(Some(begun)));
    let work: Held = Box::new(move |tx| {
        // From here on a read has its snapshot.
        users::is_empty(tx)?;
        begun.lock().unwrap().take().unwrap().send(()).unwrap();
        opened.lock().unwrap().recv().ok();
        Ok(())
    });
    (Gate(gate), work, begins)
}

pub(super) async fn hold_writer(db: &Db) -> Gate {
    let (gate, work, begins) = hold();
    let db = db.clone();
    tokio::spawn(async move { db.write(work).await });
    begins.await.unwrap();
    gate
}

/// For a database with one reader.
async fn hold_reader(db: &Db) -> Gate {
    let (gate, work, begins) = hold();
    let db = db.clone();
    tokio::spawn(async move { db.read(work).await });
    begins.await.unwrap();
    gate
}

fn open_with_one_reader(folder: &Folder) -> Db {
    let mut options = folder.options(OpenAs::Serve);
    options.readers = 1;
    Db::open(&options).unwrap()
}

/// Starts a call until it is queued; its answer comes later.
async fn enqueue<T: Send + 'static>(
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> JoinHandle<Result<T, Error>> {
    let (sent, is_sent) = oneshot::channel();
    let task = tokio::spawn(async move {
        let mut call = pin!(call);
        let first = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        sent.send(()).unwrap();
        match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => call.await,
        }
    });
    is_sent.await.unwrap();
    task
}

pub(super) async fn enqueue_write<T: Send + 'static>(
    db: &Db,
    work: impl Fn(&Tx<'_>) -> Result<T, Error> + Send + 'static,
) -> JoinHandle<Result<T, Error>> {
    let db = db.clone();
    enqueue(async move { db.write(work).await }).await
}

/// Makes `SQLite` roll back the transaction, as it does when the disk is full.
fn roll_back(tx: &Tx<'_>) -> Result<(), Error> {
    let sql = "INSERT OR ROLLBACK INTO meta (key, value) VALUES ('page_key', x'00')";
    tx.execute(sql, &[]).map(drop)
}

fn add_user(name: &'static str) -> impl Fn(&Tx<'_>) -> Result<(), Error> + Send {
    let user = person(name);
    move |tx| users::insert(tx, &user, None)
}

async fn names(db: &Db) -> Vec<String> {
    let list = |tx: &Tx<'_>| users::list(tx, &users::UserFilter::default(), None, false, 50);
    let users = db.read::<_, Error>(list).await.unwrap();
    let mut names: Vec<_> = users.iter().map(|user| user.username.to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_write_that_fails_or_panics_does_not_affect_its_batch() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    let gate = hold_writer(&db).await;
    let first = enqueue_write(&db, add_user("first")).await;
    let refused = enqueue_write(&db, |tx| {
        add_user("refused")(tx)?;
        Err::<(), _>(Error::Overloaded)
    })
    .await;
    let panicked = enqueue_write(&db, |tx| -> Result<(), _> {
        add_user("panicked")(tx)?;
        panic!("on purpose")
    })
    .await;
    let doubled = enqueue_write(&db, add_user("first")).await;
    let last = enqueue_write(&db, add_user("last")).await;
    drop(gate);
    first.await.unwrap().unwrap();
    assert!(matches!(refused.await.unwrap(), Err(Error::Overloaded)));
    assert!(matches!(panicked.await.unwrap(), Err(Error::Panicked)));
    let doubled = doubled.await.unwrap();
    assert!(
        matches!(doubled, Err(Error::Constraint { .. })),
        "{doubled:?}"
    );
    last.await.unwrap().unwrap();
    assert_eq!(names(&db).await, ["first", "last"]);
}

#[tokio::test]
async fn a_queued_write_whose_caller_is_gone_is_skipped() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    let gate = hold_writer(&db).await;
    let ran = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ran);
    let abandoned = enqueue_write(&db, move |_| {
        flag.store(true, Ordering::SeqCst);
        Ok(())
    })
    .await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    let next = enqueue_write(&db, add_user("next")).await;
    drop(gate);
    next.await.unwrap().unwrap();
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_rollback_by_sqlite_fails_the_whole_batch_but_not_the_next() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    let gate = hold_writer(&db).await;
    let before = enqueue_write(&db, add_user("before")).await;
    let culprit = enqueue_write(&db, roll_back).await;
    let after = enqueue_write(&db, add_user("after")).await;
    drop(gate);
    for neighbour in [before, after] {
        let answer = neighbour.await.unwrap();
        let kind = Unavailable::RolledBack;
        assert!(matches!(answer, Err(Error::Unavailable { kind: k, .. }) if k == kind));
    }
    let culprit = culprit.await.unwrap();
    assert!(
        matches!(culprit, Err(Error::Constraint { .. })),
        "{culprit:?}"
    );
    db.write(add_user("later")).await.unwrap();
    assert_eq!(names(&db).await, ["later"]);
}

#[tokio::test]
async fn a_failed_commit_fails_the_whole_batch() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    let gate = hold_writer(&db).await;
    let innocent = enqueue_write(&db, add_user("innocent")).await;
    let culprit = enqueue_write(&db, |tx| {
        tx.execute("PRAGMA defer_foreign_keys = ON", &[])?;
        let orphan = token(&person("nobody"));
        tokens::insert(tx, &orphan, &hash(&orphan))
    })
    .await;
    drop(gate);
    for write in [innocent, culprit] {
        let answer = write.await.unwrap();
        assert!(
            matches!(answer, Err(Error::Unavailable { .. })),
            "{answer:?}"
        );
    }
    assert_eq!(names(&db).await, [""; 0]);
    db.write(add_user("later")).await.unwrap();
}

#[tokio::test]
async fn a_full_queue_refuses_work() {
    let folder = Folder::new();
    let mut options = folder.options(OpenAs::Serve);
    options.max_waiting = 1;
    let db = Db::open(&options).unwrap();
    let gate = hold_writer(&db).await;
    let waits = enqueue_write(&db, add_user("waits")).await;
    let refused = db.write(add_user("refused")).await;
    assert!(matches!(refused, Err(Error::Overloaded)));
    drop(gate);
    waits.await.unwrap().unwrap();
    db.write(add_user("later")).await.unwrap();
}

#[tokio::test]
async fn a_read_cannot_write_and_survives_a_panic() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    for _ in 0..4 {
        let written = db.read(add_user("sly")).await;
        let kind = Unavailable::ReadOnly;
        assert!(matches!(written, Err(Error::Unavailable { kind: k, .. }) if k == kind));
        let panicked = db.read::<(), Error>(|_| panic!("on purpose")).await;
        assert!(matches!(panicked, Err(Error::Panicked)));
    }
    assert_eq!(names(&db).await, [""; 0]);
}

#[tokio::test]
async fn dropping_the_last_handle_leaves_a_single_complete_file() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    let other = db.clone();
    other.write(add_user("kept")).await.unwrap();
    drop(db);
    assert_eq!(names(&other).await, ["kept"]);
    drop(other);
    assert_eq!(folder.files(), ["hallpass.db", "hallpass.db-reserve"]);
    assert_eq!(names(&folder.open(OpenAs::Embedded)).await, ["kept"]);
}

#[tokio::test]
async fn work_that_continues_after_a_rollback_by_sqlite_writes_nothing() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    let stubborn = |tx: &Tx<'_>| {
        assert!(roll_back(tx).is_err());
        drop(add_user("stray")(tx));
        Ok::<_, Error>(())
    };
    let answer = db.write(stubborn).await;
    let kind = Unavailable::RolledBack;
    assert!(matches!(answer, Err(Error::Unavailable { kind: k, .. }) if k == kind));
    assert_eq!(names(&db).await, [""; 0]);
}

#[tokio::test]
async fn a_read_never_joins_a_snapshot_older_than_itself() {
    let folder = Folder::new();
    let db = open_with_one_reader(&folder);
    let gate = hold_reader(&db).await;
    db.write(add_user("new")).await.unwrap();
    let reads = db.clone();
    let read = enqueue(async move { Ok(names(&reads).await) }).await;
    drop(gate);
    assert_eq!(read.await.unwrap().unwrap(), ["new"]);
}

#[tokio::test]
async fn a_queued_read_whose_caller_is_gone_is_skipped() {
    let folder = Folder::new();
    let db = open_with_one_reader(&folder);
    let gate = hold_reader(&db).await;
    let ran = Arc::new(AtomicBool::new(false));
    let (flag, reads) = (Arc::clone(&ran), db.clone());
    let read = async move {
        let work = move |_: &Tx<'_>| {
            flag.store(true, Ordering::SeqCst);
            Ok(())
        };
        reads.read(work).await
    };
    let abandoned = enqueue(read).await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    drop(gate);
    names(&db).await;
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_write_that_runs_twice_is_kept_once() {
    let folder = Folder::new();
    let mut options = folder.options(OpenAs::Serve);
    options.rerun_writes = true;
    let db = Db::open(&options).unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let (counted, add) = (Arc::clone(&runs), add_user("once"));
    let work = move |tx: &Tx<'_>| {
        counted.fetch_add(1, Ordering::SeqCst);
        add(tx)
    };
    db.write(work).await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(names(&db).await, ["once"]);
    let refused = db.write(add_user("once")).await;
    assert!(matches!(refused, Err(Error::Constraint { .. })));
}

/// The control: without the second run, both are accepted.
#[tokio::test]
async fn a_write_that_depends_on_more_than_its_transaction_is_caught_when_it_runs_twice() {
    for rerun_writes in [false, true] {
        let folder = Folder::new();
        let mut options = folder.options(OpenAs::Serve);
        options.rerun_writes = rerun_writes;
        let db = Db::open(&options).unwrap();
        let draws = |tx: &Tx<'_>| users::insert(tx, &person("drawn"), None);
        let runs = AtomicUsize::new(0);
        let counts = move |tx: &Tx<'_>| {
            let name = format!("user-{}", runs.fetch_add(1, Ordering::SeqCst));
            users::username_taken(tx, &Username::parse(&name).unwrap()).map(drop)
        };
        for caught in [db.write(draws).await, db.write(counts).await] {
            match caught {
                Err(Error::Statement { .. }) => assert!(rerun_writes),
                other => assert!(other.is_ok() && !rerun_writes, "{other:?}"),
            }
        }
        assert_eq!(names(&db).await.is_empty(), rerun_writes);
    }
}

#[tokio::test]
async fn a_lookup_is_answered_while_all_readers_are_busy_and_reads_are_queued() {
    let folder = Folder::new();
    let db = open_with_one_reader(&folder);
    db.write(add_user("alice")).await.unwrap();
    let gate = hold_reader(&db).await;
    let reads = db.clone();
    let list = enqueue(async move { Ok(names(&reads).await) }).await;

    let lookup = db.look_up(users::is_empty).await;
    assert!(!lookup.unwrap(), "and it sees what was committed");
    // The control: a read has to wait.
    let reads = db.clone();
    let read = enqueue(async move { reads.read(users::is_empty).await }).await;
    assert!(!read.is_finished() && !list.is_finished());

    drop(gate);
    assert!(!read.await.unwrap().unwrap());
    assert_eq!(list.await.unwrap().unwrap(), ["alice"]);
}

#[tokio::test]
async fn a_lookup_cannot_write() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    db.look_up(add_user("alice")).await.unwrap_err();
    assert_eq!(names(&db).await, [""; 0]);
}
