//! What a change makes stale.

use crate::{
    domain::{
        id::TokenId,
        note::Note,
        token::{DisabledBy, LastUse, Token},
    },
    store::{
        Db, Error, OpenAs, Tx, audit,
        tests::{
            db::{enqueue_write, hold_writer},
            samples::{Folder, NOW, event, hash, person, token},
        },
        tokens::{self, Credential},
        users,
    },
};

/// A token, its child and an unrelated token.
struct Family {
    db: Db,
    ids: [TokenId; 3],
    #[expect(dead_code, reason = "the database is in it")]
    folder: Folder,
}

impl Family {
    async fn new() -> Self {
        let folder = Folder::new();
        let db = folder.open(OpenAs::Serve);
        let user = person("alice");
        let (parent, mut child, other) = (token(&user), token(&user), token(&user));
        child.parent_id = Some(parent.id);
        let ids = [parent.id, child.id, other.id];
        let insert = move |tx: &Tx<'_>| {
            users::insert(tx, &user, None)?;
            let mut all = [&parent, &child, &other].into_iter();
            all.try_for_each(|token| tokens::insert(tx, token, &hash(token)))
        };
        db.write::<_, Error>(insert).await.unwrap();
        Self { db, ids, folder }
    }

    async fn read(&self) -> [Credential; 3] {
        let ids = self.ids;
        let find = move |tx: &Tx<'_>| {
            let find = |id| Ok(tokens::find_credential(tx, id)?.expect("it is there"));
            Ok::<_, Error>([find(ids[0])?, find(ids[1])?, find(ids[2])?])
        };
        self.db.read(find).await.unwrap()
    }

    /// Which of the three credentials the change makes stale for decisions, and which at all. Asserts that those
    /// include everything that really changed.
    async fn change(
        &self,
        name: &str,
        change: impl Fn(&Tx<'_>) -> Result<(), Error> + Send + 'static,
    ) -> ([bool; 3], [bool; 3]) {
        let stamp = self.db.stamp();
        let before = self.read().await;
        assert!(
            before
                .iter()
                .all(|one| self.db.is_unchanged(stamp, &one.lineage))
        );
        self.db.write(change).await.unwrap();
        let after = self.read().await;
        let stale = [0, 1, 2].map(|at| !self.db.still_decides(stamp, &before[at].lineage));
        let changed = [0, 1, 2].map(|at| !self.db.is_unchanged(stamp, &before[at].lineage));
        for at in 0..3 {
            let [was, is] = [&before[at], &after[at]].map(|one| format!("{one:?}"));
            assert!(was == is || changed[at], "{name}: {was} became {is}");
        }
        (stale, changed)
    }
}

const NONE: [bool; 3] = [false; 3];
const FAMILY: [bool; 3] = [true, true, false];
const ALL: [bool; 3] = [true; 3];
type Change = Box<dyn Fn(&Tx<'_>) -> Result<(), Error> + Send>;

#[tokio::test]
async fn a_change_makes_stale_what_it_changed_and_little_else() {
    let family = Family::new().await;
    let [parent, child, _] = family.read().await.map(|one| one.lineage.token);
    let user = person("bob");
    let used = LastUse::seen(NOW, None);
    let noted = Token {
        note: Note::parse("changed".to_owned()).unwrap(),
        disabled: Some(DisabledBy::Admin),
        ..parent.clone()
    };
    let rotated = Token {
        successor_id: Some(child.id),
        ..parent.clone()
    };
    let added = token(&person("none"));
    let (id, user_id) = (parent.id, parent.user_id);
    let added = Token { user_id, ..added };
    let upsert = "INSERT INTO meta (key, value) VALUES ('page_key', x'00') \
                  ON CONFLICT (key) DO UPDATE SET value = x'00'";
    // With `execute` alone, each of these would be ALL.
    let changes: Vec<(&str, Change, [bool; 3], [bool; 3])> = vec![
        (
            "a new user",
            Box::new(move |tx| users::insert(tx, &user, None)),
            NONE,
            NONE,
        ),
        (
            "a new token",
            Box::new(move |tx| tokens::insert(tx, &added, &hash(&added))),
            NONE,
            NONE,
        ),
        (
            "an audit row",
            Box::new(|tx| audit::append(tx, event("one")).map(drop)),
            NONE,
            NONE,
        ),
        (
            "a row that takes another's place",
            Box::new(move |tx| tx.insert(upsert, &[])),
            ALL,
            ALL,
        ),
        (
            "a use of the parent",
            Box::new(move |tx| tokens::record_uses(tx, &[(id, used)])),
            NONE,
            ALL,
        ),
        (
            "the parent's note and state",
            Box::new(move |tx| tokens::update(tx, &noted).map(drop)),
            FAMILY,
            FAMILY,
        ),
        (
            "the parent's rotation",
            Box::new(move |tx| tokens::mark_rotated(tx, &rotated).map(drop)),
            FAMILY,
            FAMILY,
        ),
        (
            "the child's deletion",
            Box::new(move |tx| tokens::mark_revoked(tx, child.id, NOW).map(drop)),
            [false, true, false],
            [false, true, false],
        ),
        (
            "the parent's deletion",
            Box::new(move |tx| tokens::mark_revoked(tx, id, NOW).map(drop)),
            FAMILY,
            FAMILY,
        ),
        (
            "nothing",
            Box::new(move |tx| tokens::mark_revoked(tx, id, NOW).map(drop)),
            NONE,
            NONE,
        ),
        (
            "the user's deletion",
            Box::new(move |tx| users::mark_deleted(tx, user_id, NOW).map(drop)),
            ALL,
            ALL,
        ),
        (
            "whatever else",
            Box::new(|tx| tx.execute("UPDATE meta SET value = x'01'", &[]).map(drop)),
            ALL,
            ALL,
        ),
    ];
    for (name, change, decisions, all) in changes {
        let found = family.change(name, change).await;
        assert_eq!(found, (decisions, all), "{name}");
    }
}

/// A failed write is rolled back and makes nothing stale.
#[tokio::test]
async fn a_refused_write_makes_nothing_stale() {
    let family = Family::new().await;
    let stamp = family.db.stamp();
    let [parent, ..] = family.read().await;
    let id = parent.lineage.token.id;
    let refused = move |tx: &Tx<'_>| {
        tokens::mark_revoked(tx, id, NOW)?;
        Err::<(), _>(Error::Overloaded)
    };
    family.db.write(refused).await.unwrap_err();
    assert!(family.db.is_unchanged(stamp, &parent.lineage));
}

/// A reader that began before a commit and caches what it read after it.
#[tokio::test]
async fn credentials_read_before_a_commit_are_stale_once_it_is_answered() {
    let family = Family::new().await;
    let stamp = family.db.stamp();
    let [parent, child, _] = family.read().await;
    let id = parent.lineage.token.id;
    let delete = move |tx: &Tx<'_>| tokens::mark_revoked(tx, id, NOW).map(drop);
    family.db.write::<_, Error>(delete).await.unwrap();
    for kept in [&parent, &child] {
        assert!(!family.db.still_decides(stamp, &kept.lineage));
        // The control: with a stamp from after the read it would never be stale.
        assert!(family.db.still_decides(family.db.stamp(), &kept.lineage));
    }
}

/// What another write of the same transaction changed counts before it is committed.
#[tokio::test]
async fn credentials_are_stale_for_the_rest_of_the_transaction_that_changed_them() {
    let family = Family::new().await;
    let stamp = family.db.stamp();
    let lineages = family.read().await.map(|credential| credential.lineage);
    let id = lineages[0].token.id;
    let db = family.db.clone();
    let current = move |tx: &Tx<'_>| {
        let in_tx = [0, 1, 2].map(|at| tx.still_decides(stamp, &lineages[at]));
        let committed = [0, 1, 2].map(|at| db.still_decides(stamp, &lineages[at]));
        Ok::<_, Error>((in_tx, committed))
    };
    let found = family.db.read(current.clone()).await.unwrap();
    assert_eq!(found, ([true; 3], [true; 3]));
    let gate = hold_writer(&family.db).await;
    let delete = enqueue_write(&family.db, move |tx| {
        tokens::mark_revoked(tx, id, NOW).map(drop)
    });
    let deleted = delete.await;
    let after = enqueue_write(&family.db, current).await;
    drop(gate);
    deleted.await.unwrap().unwrap();
    let after = after.await.unwrap().unwrap();
    assert_eq!(after, ([false, false, true], [true; 3]));
}
