//! `CreateToken`: for whom a caller may create.

use serde_json::{Value, json};

use crate::test_app::TestApp;

const CREATE: &str = "TokenService/CreateToken";

fn for_user(id: &str) -> Value {
    json!({ "userId": id })
}

#[tokio::test]
async fn empty_and_own_user_id_mean_the_caller() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    for id in ["", &alice.id] {
        let created = app.child(&alice.token, for_user(id)).await;
        assert_eq!(created.metadata["userId"], alice.id);
        let created = app.sign_in(&alice, for_user(id)).await;
        assert_eq!(created.metadata["userId"], alice.id);
    }
}

#[tokio::test]
async fn machine_gets_tokens_from_itself_its_owner_and_admins() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    for token in [&alice.token, &app.admin.token, &robot.token] {
        let created = app.child(token, for_user(&robot.id)).await;
        assert_eq!(created.metadata["userId"], robot.id);
        assert!(app.accepts(&created.text).await);
    }
}

#[tokio::test]
async fn whom_one_may_not_create_for_is_answered_alike_there_or_not() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let robot = app.machine(&bob, "robot").await;
    let gone = app.person("gone").await;
    let delete = json!({ "id": gone.id });
    let deleted = app.call(&app.admin.token, "UserService/DeleteUser", delete);
    deleted.await.ok();

    let same = app.call(&alice.token, CREATE, for_user(&bob.id)).await;
    let failure = same
        .clone()
        .refused("permission_denied", "PERMISSION_DENIED");
    let same = same.raw_refusal();
    for id in [
        &robot.id,
        &app.admin.id,
        &gone.id,
        "0000000000000000000000",
        "nonsense",
        &"x".repeat(10_000),
    ] {
        let answer = app.call(&alice.token, CREATE, for_user(id)).await;
        assert_eq!(answer.raw_refusal(), same, "{id}");
    }
    // With a password too, and a machine owns nothing, not even what its owner owns.
    let mut message = for_user(&bob.id);
    message["username"] = alice.name.clone().into();
    message["password"] = alice.password.clone().into();
    assert_eq!(
        app.call("", CREATE, message).await.result,
        Err(failure.clone())
    );
    let own = app.machine(&alice, "own").await;
    let other = app.machine(&alice, "other").await;
    let answer = app.call(&own.token, CREATE, for_user(&other.id)).await;
    assert_eq!(answer.result, Err(failure));
}

#[tokio::test]
async fn admin_may_not_create_for_another_person_and_is_told_of_unknown_ones() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let answer = app
        .call(&app.admin.token, CREATE, for_user(&alice.id))
        .await;
    answer.refused("permission_denied", "PERMISSION_DENIED");
    for id in ["0000000000000000000000", "nonsense"] {
        let answer = app.call(&app.admin.token, CREATE, for_user(id)).await;
        answer.refused("not_found", "USER_NOT_FOUND");
    }
}

#[tokio::test]
async fn deactivated_machine_gets_no_tokens() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let id = json!({ "id": robot.id });
    let deactivated = app.call(&alice.token, "UserService/DeactivateUser", id.clone());
    deactivated.await.ok();
    for token in [&alice.token, &app.admin.token] {
        let answer = app.call(token, CREATE, for_user(&robot.id)).await;
        answer.refused("failed_precondition", "TARGET_DEACTIVATED");
    }
    let reactivated = app.call(&app.admin.token, "UserService/ReactivateUser", id);
    reactivated.await.ok();
    app.child(&alice.token, for_user(&robot.id)).await;
}
