//! Controls: the matrix detects one missing check, and one reply that differs from the table.

use super::{
    Fixture, Snapshot, faults,
    table::{Rule, TABLE},
};
use crate::client::Wire;

async fn count(fixture: &Fixture, undo: &Snapshot, caller: &str) -> usize {
    let caller = fixture.callers.iter().find(|one| one.name == caller);
    let caller = caller.expect("a caller of this name");
    let mut cases = Vec::new();
    for line in TABLE {
        cases.extend(fixture.run(undo, Wire::CURL, line, caller).await);
    }
    faults(&cases).len()
}

/// Each changes the data that one check reads, as if that check were missing.
const DOCTORED: [(&str, &str); 12] = [
    (
        "member",
        "UPDATE users SET role = 'admin' WHERE username = 'alice'",
    ),
    (
        "admin machine of a member",
        "UPDATE users SET role = 'admin' WHERE username = 'alice'",
    ),
    (
        "machine",
        "UPDATE users SET owner_id = (SELECT id FROM users WHERE username = 'root'), role = 'admin' \
      WHERE username = 'robot'",
    ),
    (
        "member",
        "UPDATE users SET owner_id = (SELECT id FROM users WHERE username = 'alice') \
      WHERE username = 'droid'",
    ),
    (
        "member with hallpass:users:read",
        "UPDATE tokens SET scopes = ''",
    ),
    (
        "child of a narrowed parent",
        "UPDATE tokens SET scopes = ''",
    ),
    ("member's child", "UPDATE tokens SET parent_id = NULL"),
    ("expired", "UPDATE tokens SET expire_time = NULL"),
    ("deleted", "UPDATE tokens SET delete_time = NULL"),
    ("disabled parent", "UPDATE tokens SET disabled = 0"),
    (
        "deactivated parent's user",
        "UPDATE users SET deactivated = 0",
    ),
    (
        "wrong address for its parent",
        "UPDATE tokens SET allowed_cidrs = ''",
    ),
];

#[tokio::test]
async fn one_missing_check_is_detected() {
    let fixture = Box::pin(Fixture::make()).await;
    let undo = Snapshot::new(&fixture);
    for (caller, doctor) in DOCTORED {
        assert_eq!(count(&fixture, &undo, caller).await, 0, "{caller}: before");
        fixture.app.sql().execute_batch(doctor).unwrap();
        fixture.app.reread().await;
        // The changed state is what the cases restore.
        let doctored = Snapshot::new(&fixture);
        assert!(count(&fixture, &doctored, caller).await > 0, "{doctor}");
        undo.undo();
    }
}

#[tokio::test]
async fn one_wrong_expectation_is_detected() {
    let fixture = Box::pin(Fixture::make()).await;
    let undo = Snapshot::new(&fixture);
    let caller = &fixture.callers[fixture.callers.len() - 1];
    let lines = TABLE
        .iter()
        .filter(|line: &&Rule| line.method() == "GetToken");
    let mut cases = Vec::new();
    for line in lines {
        cases.extend(fixture.run(&undo, Wire::CURL, line, caller).await);
    }
    assert_eq!(faults(&cases).len(), 0);
    for at in 0..cases.len() {
        let mut wrong = cases.clone();
        wrong[at].expected = "ok, or so".to_owned();
        assert_eq!(faults(&wrong).len(), 1);
        let Some(raw) = &mut wrong[at].raw else {
            continue;
        };
        raw.push('.');
        assert!(!faults(&wrong).is_empty());
    }
}
