use std::{fs::File, os::unix::fs::FileExt as _, time::Duration};

use r2d2::ManageConnection as _;
use rusqlite::Connection;

use super::{
    super::{connect, preflight::beside},
    *,
};
use crate::store::{
    Error, OpenAs, Tx,
    samples::{Folder, NOW, hash, person, token},
    tokens, users,
};

/// A database, the writer's own connection to it, and another's.
struct Ours {
    own: Connection,
    other: Connection,
    commits: Commits,
    folder: Folder,
    id: TokenId,
}

impl Ours {
    fn new() -> Self {
        let folder = Folder::new();
        drop(folder.open(OpenAs::Serve));
        let manager = connect::manager(&folder.path(), Duration::from_secs(1));
        let open = || {
            let connection = manager.connect().unwrap();
            connection
                .query_row("SELECT count(*) FROM meta", (), |_| Ok(()))
                .unwrap();
            connection
        };
        let (own, other) = (open(), open());
        let identity = Identity::of(&folder.path()).unwrap();
        let commits = Commits::of(&folder.path(), identity).unwrap();
        let this = Self {
            own,
            other,
            commits,
            folder,
            id: TokenId::generate(NOW),
        };
        this.write("first", &Changes::default());
        this
    }

    fn stamp(&self) -> Stamp {
        self.commits.stamp(self.id).unwrap()
    }

    /// As the writer does it.
    fn write(&self, key: &str, changes: &Changes) {
        let mut writing = self.commits.writing();
        add(&self.own, key);
        writing.ended(&self.own, changes);
    }
}

fn add(connection: &Connection, key: &str) {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, x'00')";
    connection.execute(sql, [key]).unwrap();
}

#[test]
fn own_commits_make_stale_what_they_changed_alone() {
    let ours = Ours::new();
    let before = ours.stamp();
    ours.write("nothing", &Changes::default());
    assert_eq!(ours.stamp(), before);
    ours.write("all", &Changes::everything());
    assert_ne!(ours.stamp(), before);
}

#[test]
fn anothers_commit_is_heard_at_once_and_once() {
    let ours = Ours::new();
    let before = ours.stamp();
    add(&ours.other, "theirs");
    let after = ours.stamp();
    assert_ne!(after, before);
    assert_eq!(ours.stamp(), after);
}

#[test]
fn anothers_commit_is_heard_through_own_ones_around_it() {
    let ours = Ours::new();
    let before = ours.stamp();
    add(&ours.other, "before");
    ours.write("ours", &Changes::default());
    let after = ours.stamp();
    assert_ne!(after, before);

    // Between our commit and its being noted.
    let mut writing = ours.commits.writing();
    add(&ours.own, "ours too");
    add(&ours.other, "right after");
    writing.ended(&ours.own, &Changes::default());
    drop(writing);
    assert_ne!(ours.stamp(), after);
}

#[test]
fn between_an_own_commit_and_its_being_noted_nothing_is_known_and_nothing_forgotten() {
    let ours = Ours::new();
    let before = ours.stamp();
    let mut writing = ours.commits.writing();
    assert_eq!(ours.stamp(), before);
    add(&ours.own, "ours");
    assert_eq!(ours.commits.stamp(ours.id), None);
    writing.ended(&ours.own, &Changes::default());
    assert_eq!(ours.stamp(), before);
}

fn checkpoint(connection: &Connection, mode: &str) {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let busy: i64 = connection.query_row(&sql, (), |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
}

#[test]
fn checkpoints_change_nothing() {
    let ours = Ours::new();
    let before = ours.stamp();
    checkpoint(&ours.other, "PASSIVE");
    assert_eq!(ours.stamp(), before);
    let mut writing = ours.commits.writing();
    checkpoint(&ours.own, "TRUNCATE");
    writing.ended(&ours.own, &Changes::default());
    drop(writing);
    assert_eq!(ours.stamp(), before);
    // The log begins anew with this one.
    ours.write("next", &Changes::default());
    assert_eq!(ours.stamp(), before);
    // Another's truncation is not told from a commit.
    checkpoint(&ours.other, "TRUNCATE");
    assert_ne!(ours.stamp(), before);
}

#[test]
fn pages_that_a_kernel_lost_are_copied_anew() {
    let ours = Ours::new();
    let mut options = File::options();
    let database = options.read(true).write(true);
    let database = database.open(ours.folder.path()).unwrap();
    let content = || {
        let length = database.metadata().unwrap().len();
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        database.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    };
    let before = content();
    ours.write("ours", &Changes::default());
    checkpoint(&ours.other, "PASSIVE");
    let copied = content();
    assert_ne!(copied, before);
    database.write_all_at(&before, 0).unwrap();

    // The control: SQLite takes them for copied.
    checkpoint(&ours.other, "PASSIVE");
    assert_eq!(content(), before);
    ours.commits.copy_anew().unwrap();
    checkpoint(&ours.other, "PASSIVE");
    assert_eq!(content(), copied);
}

#[test]
fn what_does_not_move_at_an_own_commit_is_not_listened_to() {
    let mut ours = Ours::new();
    let frozen = ours.folder.dir.path().join("frozen");
    std::fs::copy(beside(&ours.folder.path(), "-shm"), &frozen).unwrap();
    ours.commits.index = Index(File::open(frozen).unwrap());
    ours.stamp();
    let added = {
        let tx = super::super::transaction(&ours.own);
        users::insert(&tx, &person("alice"), None).unwrap();
        tx.into_changes()
    };
    let mut writing = ours.commits.writing();
    ours.own.execute_batch("COMMIT").unwrap();
    writing.ended(&ours.own, &added);
    drop(writing);
    assert_eq!(ours.commits.stamp(ours.id), None);
}

#[test]
fn file_that_is_cut_or_gone_is_not_listened_to() {
    let mut ours = Ours::new();
    let path = ours.folder.path();
    let away = ours.folder.dir.path().join("away");
    std::fs::rename(&path, &away).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(ours.commits.stamp(ours.id), None);
    std::fs::rename(&away, &path).unwrap();
    ours.stamp();
    ours.commits.index = Index(File::open("/dev/null").unwrap());
    assert_eq!(ours.commits.stamp(ours.id), None);
}

type Work = Box<dyn Fn(&Tx<'_>) -> Result<(), Error> + Send>;

/// The whole store, and a command beside it.
#[tokio::test]
async fn whatever_changes_a_credential_makes_it_stale_and_an_insert_does_not() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    let command = folder.open(OpenAs::Tool);
    let user = person("alice");
    let (one, mut child) = (token(&user), token(&user));
    child.parent_id = Some(one.id);
    let ids = [one.id, child.id];
    let stamps = || ids.map(|id| db.stamp(id).unwrap());
    let (owner, row) = (user.clone(), one.clone());
    let insert_user = move |tx: &Tx<'_>| users::insert(tx, &owner, None);
    // What came before the first commit is not known.
    db.write::<_, Error>(insert_user).await.unwrap();
    let before = stamps();
    let insert = move |tx: &Tx<'_>| tokens::insert(tx, &row, &hash(&row));
    db.write::<_, Error>(insert).await.unwrap();
    assert_eq!(stamps(), before);
    assert_eq!(command.stamp(one.id), None);

    let insert_child = move |tx: &Tx<'_>| tokens::insert(tx, &child, &hash(&child));
    let (id, user_id) = (one.id, user.id);
    // With a child or without one; of the user; by the user; at last all there is.
    let changes: [(Work, [bool; 2]); 5] = [
        (
            Box::new(move |tx| tokens::mark_deleted(tx, id, NOW).map(drop)),
            [true, false],
        ),
        (Box::new(insert_child), [false, false]),
        (
            Box::new(move |tx| tokens::delete_live_children(tx, id, NOW).map(drop)),
            [true, true],
        ),
        (
            Box::new(move |tx| users::update(tx, &user).map(drop)),
            [true, true],
        ),
        (
            Box::new(move |tx| users::mark_deleted(tx, user_id, NOW).map(drop)),
            [true, true],
        ),
    ];
    for (nth, (change, stale)) in changes.into_iter().enumerate() {
        let before = stamps();
        db.write(change).await.unwrap();
        let after = stamps();
        assert_eq!([0, 1].map(|at| before[at] != after[at]), stale, "{nth}");
    }

    let before = stamps();
    let theirs = |tx: &Tx<'_>| users::insert(tx, &person("bob"), None);
    command.write::<_, Error>(theirs).await.unwrap();
    assert_ne!(stamps(), before);
}
