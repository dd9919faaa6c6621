//! Instances of one database limit together what each would otherwise limit alone, and write one another's batches.

use std::{num::NonZero, sync::Arc, time::Duration};

use hallpass::{
    app::{
        App, AppOptions, Error,
        background::last_use::Flush,
        passwords::HasherOptions,
        shared::SharedState,
        verify::{Verification, VerifyToken},
    },
    domain::{clock::Clock, presented_token::PresentedToken, secret::Secret},
};
use serde_json::json;

use crate::test_app::{FakeClock, TestApp, local};

async fn instance(app: &TestApp, shared: &Arc<SharedState>) -> App {
    let clock: Arc<dyn Clock> = Arc::<FakeClock>::clone(&app.clock);
    let shared = Arc::clone(shared);
    let instance = App::start_instance(app.db.clone(), clock, options(), shared);
    instance.await.unwrap()
}

fn options() -> AppOptions {
    AppOptions {
        token_requests_per_minute: NonZero::new(1),
        passwords: HasherOptions {
            memory_kib: 64,
            passes: 1,
            ..HasherOptions::default()
        },
        ..AppOptions::default()
    }
}

/// Two instances that share their state, and one with a state of its own: the control.
async fn instances(app: &TestApp) -> [App; 3] {
    let state = || Arc::new(SharedState::new(&options(), app.app.now()));
    let (shared, own) = (state(), state());
    [
        instance(app, &shared).await,
        instance(app, &shared).await,
        instance(app, &own).await,
    ]
}

async fn guess(app: &App) -> Error {
    let client = local(app).client().clone();
    let password = Secret::new("a wrong password".to_owned());
    let signed_in = app.sign_in("admin", password, &client).await;
    signed_in.expect_err("the password is wrong")
}

async fn verify(app: &App, token: &str) -> Result<Verification, Error> {
    let caller = local(app);
    let request = VerifyToken::parse(PresentedToken::parse(token), [], "192.0.2.1");
    app.verify_for(&caller, request).await
}

#[tokio::test]
async fn guesses_at_one_instance_are_throttled_at_the_other() {
    let app = TestApp::start().await;
    let [one, two, control] = instances(&app).await;
    for _ in 0..5 {
        app.clock.advance(Duration::from_millis(1_001));
        assert!(matches!(guess(&one).await, Error::Unauthenticated(_)));
    }
    assert!(matches!(guess(&one).await, Error::Throttled { .. }));
    assert!(matches!(guess(&two).await, Error::Throttled { .. }));
    assert!(matches!(guess(&control).await, Error::Unauthenticated(_)));
}

#[tokio::test]
async fn verifications_at_one_instance_count_at_the_other() {
    let app = TestApp::start().await;
    let [one, two, control] = instances(&app).await;
    let token = &app.admin.token;
    let valid = verify(&one, token).await.unwrap();
    assert!(matches!(valid, Verification::Valid(_)));
    let refused = verify(&two, token).await;
    assert!(matches!(refused, Err(Error::RateLimited { .. })));
    assert!(verify(&control, token).await.is_ok());
}

#[tokio::test]
async fn one_instance_writes_the_uses_that_another_noted() {
    let app = TestApp::start().await;
    let token = app.sign_in(&app.admin, json!({})).await;
    let [one, two, control] = instances(&app).await;
    verify(&one, &token.text).await.unwrap();
    let written = || {
        let select = "SELECT last_use_time IS NOT NULL FROM tokens WHERE id = ?1";
        let found = app
            .sql()
            .query_one(select, [&token.id], |row| row.get::<_, bool>(0));
        found.unwrap()
    };
    control.flush_uses(Flush::Now).await.unwrap();
    assert!(!written(), "it was not noted there");
    two.flush_uses(Flush::Now).await.unwrap();
    assert!(written());
}
