//! `UserService`: names, machines, lists, deletion.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    client::Reply,
    test_app::{START, TestApp, password_of, rfc3339},
};

async fn admin(app: &TestApp, procedure: &str, message: Value) -> Reply {
    let procedure = format!("UserService/{procedure}");
    app.call(&app.admin.token, &procedure, message).await
}

async fn create(app: &TestApp, name: &str) -> Reply {
    let message = json!({ "username": name, "password": password_of("someone") });
    admin(app, "CreateUser", message).await
}

#[tokio::test]
async fn created_user_is_returned_unchanged_by_id_and_by_name() {
    let app = TestApp::start().await;
    let message = json!({
        "username": "Alice-1",
        "password": password_of("alice"),
        "description": "of the build team",
    });
    let made = admin(&app, "CreateUser", message).await.ok();
    let id = made["user"]["id"].as_str().unwrap();
    let expected = json!({
        "id": id,
        "createTime": rfc3339(START),
        "updateTime": rfc3339(START),
        "username": "alice-1",
        "description": "of the build team",
        "userType": "USER_TYPE_PERSONAL",
        "role": "SERVER_ROLE_MEMBER",
    });
    assert_eq!(made["user"], expected);
    let got = admin(&app, "GetUser", json!({ "id": id })).await.ok();
    assert_eq!(got["user"], expected);
    for name in ["alice-1", "ALICE-1"] {
        let got = admin(&app, "GetUserByUsername", json!({ "username": name }));
        assert_eq!(got.await.ok()["user"], expected);
    }
}

#[tokio::test]
async fn usernames_are_validated_and_never_reused() {
    let app = TestApp::start().await;
    for bad in [
        "",
        "ab",
        "1ab",
        "ab-",
        "-ab",
        "a_b",
        "äbc",
        "a b",
        &"a".repeat(41),
    ] {
        create(&app, bad).await.invalid_field("username");
    }
    create(&app, &format!("a{}z", "-".repeat(38))).await.ok();
    let made = create(&app, "alice").await.ok();
    for taken in ["alice", "ALICE", "admin"] {
        let answer = create(&app, taken).await;
        answer.refused("already_exists", "USERNAME_TAKEN");
    }
    let delete = json!({ "id": made["user"]["id"] });
    admin(&app, "DeleteUser", delete.clone()).await.ok();
    create(&app, "alice")
        .await
        .refused("already_exists", "USERNAME_TAKEN");
    for procedure in ["DeleteUser", "GetUser", "DeactivateUser", "ReactivateUser"] {
        let answer = admin(&app, procedure, delete.clone()).await;
        answer.refused("not_found", "USER_NOT_FOUND");
    }
    let by_name = admin(&app, "GetUserByUsername", json!({ "username": "alice" }));
    by_name.await.refused("not_found", "USER_NOT_FOUND");
}

#[tokio::test]
async fn person_owns_at_most_100_machines() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let machine = async |by: &str, name: String| {
        let message = json!({ "username": name, "userType": "USER_TYPE_MACHINE" });
        app.call(by, "UserService/CreateUser", message).await
    };
    let mut last = Value::Null;
    for i in 0..100 {
        last = machine(&alice.token, format!("robot-{i}")).await.ok();
    }
    let one_more = machine(&alice.token, "one-more".to_owned()).await;
    one_more.refused("resource_exhausted", "TOO_MANY_MACHINES");
    let bobs = machine(&bob.token, "bobs".to_owned()).await.ok();
    let to_alice = json!({ "userId": bobs["user"]["id"], "ownerId": alice.id });
    let full = admin(&app, "SetOwner", to_alice.clone()).await;
    full.refused("resource_exhausted", "TOO_MANY_MACHINES");
    let again = json!({ "userId": last["user"]["id"], "ownerId": alice.id });
    admin(&app, "SetOwner", again).await.ok();
    let delete = json!({ "id": last["user"]["id"] });
    admin(&app, "DeleteUser", delete).await.ok();
    admin(&app, "SetOwner", to_alice).await.ok();
}

#[tokio::test]
async fn only_an_existing_person_becomes_an_owner() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let other = app.machine(&alice, "other").await;
    let to = |owner: &str| json!({ "userId": robot.id, "ownerId": owner });
    let answer = admin(&app, "SetOwner", to(&other.id)).await;
    answer.refused("failed_precondition", "WRONG_USER_TYPE");
    for unknown in ["0000000000000000000000", "x"] {
        let answer = admin(&app, "SetOwner", to(unknown)).await;
        answer.refused("not_found", "USER_NOT_FOUND");
    }
}

#[tokio::test]
async fn user_with_machines_is_not_deleted_and_others_are_deleted_with_their_tokens() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    app.sign_in(&alice, json!({})).await;
    let alices = json!({ "id": alice.id });
    let refused = admin(&app, "DeleteUser", alices.clone()).await;
    refused.refused("failed_precondition", "USER_OWNS_MACHINES");
    assert!(app.accepts(&alice.token).await);
    let gone = admin(&app, "DeleteUser", json!({ "id": robot.id })).await;
    assert_eq!(gone.ok()["deletedTokens"], 1);
    assert!(!app.accepts(&robot.token).await);
    let gone = admin(&app, "DeleteUser", alices).await;
    assert_eq!(gone.ok()["deletedTokens"], 2);
    assert!(!app.accepts(&alice.token).await);
    let sign_in = json!({ "username": "alice", "password": alice.password });
    let answer = app.call("", "TokenService/CreateToken", sign_in).await;
    answer.refused("unauthenticated", "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn description_changes_only_where_one_is_given() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let describe = async |message: Value| {
        let answer = app.call(&alice.token, "UserService/UpdateUserSettings", message);
        answer.await
    };
    let get = async || {
        let message = json!({ "id": alice.id });
        let answer = app.call(&alice.token, "UserService/GetUser", message);
        answer.await.ok()["user"].clone()
    };
    app.clock.advance(Duration::from_secs(1));
    describe(json!({ "userId": alice.id, "description": "x" }))
        .await
        .ok();
    assert_eq!(get().await["description"], "x");
    assert_eq!(
        get().await["updateTime"],
        rfc3339(START.plus(Duration::from_secs(1)))
    );
    app.clock.advance(Duration::from_secs(1));
    describe(json!({ "userId": alice.id })).await.ok();
    assert_eq!(get().await["description"], "x");
    assert_eq!(
        get().await["updateTime"],
        rfc3339(START.plus(Duration::from_secs(1)))
    );
    describe(json!({ "userId": alice.id, "description": "" }))
        .await
        .ok();
    assert_eq!(get().await.get("description"), None);
    for bad in ["a\nb", &"x".repeat(1_025)] {
        let message = json!({ "userId": alice.id, "description": bad });
        describe(message).await.invalid_field("description");
    }
}

#[tokio::test]
async fn lists_and_counts_show_only_visible_users_filtered_and_in_order() {
    let app = TestApp::start().await;
    let mut expected = vec!["admin".to_owned()];
    app.clock.advance(Duration::from_secs(1));
    let alice = app.person("alice").await;
    expected.push("alice".into());
    for name in ["robot-a", "robot-b", "robot-c"] {
        app.clock.advance(Duration::from_secs(1));
        let robot = app.machine(&alice, name).await;
        expected.push(name.into());
        if name == "robot-b" {
            admin(&app, "DeactivateUser", json!({ "id": robot.id }))
                .await
                .ok();
        }
    }
    app.clock.advance(Duration::from_secs(1));
    let gone = app.person("gone").await;
    admin(&app, "DeleteUser", json!({ "id": gone.id }))
        .await
        .ok();

    let names = async |by: &str, mut request: Value| {
        let mut names = Vec::new();
        loop {
            let answer = app.call(by, "UserService/ListUsers", request.clone());
            let reply = answer.await.ok();
            for user in reply["users"].as_array().into_iter().flatten() {
                names.push(user["username"].as_str().unwrap().to_owned());
            }
            match reply.get("nextPageToken") {
                Some(next) => request["pageToken"] = next.clone(),
                None => return names,
            }
        }
    };
    let by = &app.admin.token;
    assert_eq!(names(by, json!({})).await, expected);
    assert_eq!(names(by, json!({ "pageSize": 2 })).await, expected);
    assert_eq!(
        names(&alice.token, json!({ "pageSize": 1 })).await,
        expected[1..]
    );
    let machines = json!({ "userTypeFilters": ["USER_TYPE_MACHINE"], "pageSize": 1 });
    assert_eq!(names(by, machines).await, expected[2..]);
    let both = json!({ "userTypeFilters": ["USER_TYPE_MACHINE", "USER_TYPE_PERSONAL"] });
    assert_eq!(names(by, both).await, expected);
    let active = json!({ "userStateFilter": "USER_STATE_ACTIVE" });
    let deactivated = json!({ "userStateFilter": "USER_STATE_DEACTIVATED" });
    assert_eq!(names(by, deactivated.clone()).await, ["robot-b"]);
    assert_eq!(names(by, active.clone()).await.len(), 4);
    let mut falling = names(by, json!({ "reverse": true, "pageSize": 2 })).await;
    falling.reverse();
    assert_eq!(falling, expected);

    let count = async |by: &str, request: Value| {
        let answer = app.call(by, "UserService/CountUsers", request);
        answer.await.ok()["totalCount"].as_u64().unwrap()
    };
    assert_eq!(count(by, json!({})).await, 5);
    assert_eq!(count(by, active).await, 4);
    assert_eq!(count(by, deactivated.clone()).await, 1);
    assert_eq!(count(&alice.token, json!({})).await, 4);
    assert_eq!(count(&alice.token, deactivated).await, 1);
    for bad in [json!({ "userStateFilter": 9 })] {
        let answer = app.call(by, "UserService/CountUsers", bad.clone());
        answer.await.invalid_field("user_state_filter");
        let answer = app.call(by, "UserService/ListUsers", bad);
        answer.await.invalid_field("user_state_filter");
    }
    let answer = app.call(
        by,
        "UserService/ListUsers",
        json!({ "userTypeFilters": [9] }),
    );
    answer.await.invalid_field("user_type_filters");
}

#[tokio::test]
async fn current_user_is_returned_by_both_services() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let ours = app.call(&robot.token, "AuthnService/GetCurrentUser", json!({}));
    let ours = ours.await.ok();
    assert_eq!(ours["user"]["id"], robot.id);
    assert_eq!(ours["user"]["ownerId"], alice.id);
    let theirs = "buf.registry.owner.v1.UserService/GetCurrentUser";
    let theirs = app.call(&robot.token, theirs, json!({})).await.ok();
    let expected = json!({
        "id": robot.id,
        "createTime": rfc3339(START),
        "updateTime": rfc3339(START),
        "name": "robot",
        "type": "USER_TYPE_BOT",
        "state": "USER_STATE_ACTIVE",
        "userInstanceRole": "USER_INSTANCE_ROLE_MEMBER",
    });
    assert_eq!(theirs["user"], expected);
}
