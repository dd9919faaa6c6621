//! A token's rights never grow along its lineage or its family, whatever is created, rotated, updated and deleted
//! in whatever order. There is no model: verification itself says what each token may do, for every scope and
//! address, and the test compares that with the rights of its parent, its predecessor and its own past.

mod run;
mod steps;

use std::cell::RefCell;

use proptest::prelude::*;

use self::{
    run::Run,
    steps::{Step, step},
};
use crate::test_app::{self, TestApp};

#[test]
fn token_never_gains_rights_over_its_parent_predecessor_or_earlier_self() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = runtime.block_on(TestApp::start());
    let owner = runtime.block_on(app.person("alice"));
    let done = RefCell::default();
    let config = ProptestConfig::with_cases(80);
    proptest!(config, |(steps in prop::collection::vec(step(), 30))| {
        runtime.block_on(async {
            let local = test_app::local(&app.app);
            let mut run = Run { app: &app, owner: &owner, local, held: Vec::new(), done: &done };
            let root = Step::Create { by: None, scopes: 0, cidrs: 0, ttl: None };
            for step in [root, root].into_iter().chain(steps) {
                run.step(step).await.map_err(|fault| TestCaseError::fail(format!("{step:?}: {fault}")))?;
            }
            Ok::<(), TestCaseError>(())
        })?;
        // Make the user's quota available to the next run.
        app.sql().execute("DELETE FROM tokens WHERE user_id = ?1", [&owner.id]).unwrap();
    });
    // The control: every kind of step succeeded at least once.
    for what in [
        "root",
        "child",
        "updated",
        "deleted with children",
        "rotated by the command line",
        "rotated by itself",
        "rotated by another",
        "refused",
    ] {
        assert!(
            done.borrow().get(what).is_some_and(|n| *n > 0),
            "{what}: {done:?}"
        );
    }
}

/// The control: a token that exceeds its earlier self, its parent or its own end is detected.
#[test]
fn token_that_gains_rights_is_detected() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let app = TestApp::start().await;
        let owner = app.person("alice").await;
        let (local, done) = (test_app::local(&app.app), RefCell::default());
        for (doctor, seen) in [
            ("scopes = '' WHERE parent_id IS NULL", "its first rights"),
            (
                "parent_id = NULL WHERE parent_id IS NOT NULL",
                "its earlier rights",
            ),
            (
                "delete_time = NULL, parent_id = NULL WHERE parent_id IS NOT NULL",
                "has ended",
            ),
        ] {
            let mut run = Run {
                app: &app,
                owner: &owner,
                local: local.clone(),
                held: Vec::new(),
                done: &done,
            };
            run.step(Step::Create {
                by: None,
                scopes: 1,
                cidrs: 1,
                ttl: None,
            })
            .await
            .unwrap();
            run.step(Step::Create {
                by: Some(0),
                scopes: 1,
                cidrs: 1,
                ttl: None,
            })
            .await
            .unwrap();
            let narrow = Step::Update {
                token: 0,
                scopes: 2,
                cidrs: 2,
                disabled: None,
            };
            run.step(narrow).await.unwrap();
            if seen == "has ended" {
                // So that only its end limits it, not its earlier rights.
                for held in &mut run.held {
                    (held.last, held.parent) = (held.born, None);
                }
                run.held[1].dead = true;
            }
            let sql = format!("UPDATE tokens SET {doctor} AND id IN (?1, ?2)");
            let ids = [0, 1].map(|n| run.held[n].token.id.to_string());
            app.sql().execute(&sql, ids).unwrap();
            app.reread().await;
            let fault = run.look(None).await.unwrap_err();
            assert!(fault.contains(seen), "{fault}");
        }
    });
}
