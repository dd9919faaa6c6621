//! Lookups of credentials are answered whatever the readers do.

use super::*;

#[tokio::test]
async fn lookup_is_answered_while_every_reader_is_busy_and_others_wait() {
    let folder = Folder::new();
    let db = open_with_one_reader(&folder);
    db.write(add_user("alice")).await.unwrap();
    let gate = hold_reader(&db).await;
    let reads = db.clone();
    let list = enqueue(async move { Ok(names(&reads).await) }).await;

    let lookup = db.look_up(users::is_empty).await;
    assert!(!lookup.unwrap(), "and it sees what was committed");
    // A control: what comes as a read waits.
    let reads = db.clone();
    let read = enqueue(async move { reads.read(users::is_empty).await }).await;
    assert!(!read.is_finished() && !list.is_finished());

    drop(gate);
    assert!(!read.await.unwrap().unwrap());
    assert_eq!(list.await.unwrap().unwrap(), ["alice"]);
}

#[tokio::test]
async fn lookup_cannot_write() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    db.look_up(add_user("alice")).await.unwrap_err();
    assert_eq!(names(&db).await, [""; 0]);
}
