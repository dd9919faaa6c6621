//! Credential lookups never wait for the readers.

use super::*;

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
