//! The last active admin cannot be removed, and a machine's admin role counts only while its owner is an active admin.

use serde_json::{Value, json};

use crate::{
    client::Reply,
    test_app::{Person, TestApp},
};

const MEMBER: &str = "SERVER_ROLE_MEMBER";
const ADMIN: &str = "SERVER_ROLE_ADMIN";

async fn set_role(app: &TestApp, by: &str, id: &str, role: &str) -> Reply {
    let message = json!({ "userId": id, "serverRole": role });
    app.call(by, "UserService/UpdateUserServerRole", message)
        .await
}

async fn on(app: &TestApp, by: &str, procedure: &str, id: &str) -> Reply {
    app.call(by, procedure, json!({ "id": id })).await
}

/// The three ways to lose an admin.
async fn lose(app: &TestApp, by: &Person, id: &str) -> [Reply; 3] {
    [
        set_role(app, &by.token, id, MEMBER).await,
        on(app, &by.token, "UserService/DeactivateUser", id).await,
        on(app, &by.token, "UserService/DeleteUser", id).await,
    ]
}

#[tokio::test]
async fn last_active_admin_cannot_be_demoted_deactivated_or_deleted() {
    let app = TestApp::start().await;
    // Members, deactivated admins and admin machines do not count.
    app.person("alice").await;
    let asleep = app.further_admin("asleep").await;
    on(
        &app,
        &app.admin.token,
        "UserService/DeactivateUser",
        &asleep.id,
    )
    .await
    .ok();
    let robot = app.machine_with_role(&app.admin, "robot", ADMIN).await;
    let role = json!({ "id": robot.id });
    let moved = app.further_admin("second").await;
    let owner = json!({ "userId": robot.id, "ownerId": moved.id });
    app.call(&app.admin.token, "UserService/SetOwner", owner)
        .await
        .ok();
    set_role(&app, &app.admin.token, &moved.id, MEMBER)
        .await
        .ok();
    let seen = app
        .call(&app.admin.token, "UserService/GetUser", role)
        .await;
    assert_eq!(seen.ok()["user"]["role"], ADMIN);

    for answer in lose(&app, &app.admin, &app.admin.id).await {
        answer.refused("failed_precondition", "LAST_ADMIN");
    }
    on(
        &app,
        &app.admin.token,
        "UserService/ReactivateUser",
        &asleep.id,
    )
    .await
    .ok();
    set_role(&app, &app.admin.token, &app.admin.id, MEMBER)
        .await
        .ok();
    for answer in lose(&app, &asleep, &asleep.id).await {
        answer.refused("failed_precondition", "LAST_ADMIN");
    }
}

#[tokio::test]
async fn admins_who_demote_each_other_at_once_leave_one() {
    let app = TestApp::start().await;
    for round in 0..10 {
        let other = app.further_admin(&format!("admin-{round}")).await;
        let (a, b) = tokio::join!(
            set_role(&app, &app.admin.token, &other.id, MEMBER),
            set_role(&app, &other.token, &app.admin.id, MEMBER),
        );
        let done = [a.result.is_ok(), b.result.is_ok()];
        assert!(done == [true, false] || done == [false, true], "{done:?}");
        if done[1] {
            set_role(&app, &other.token, &app.admin.id, ADMIN)
                .await
                .ok();
            set_role(&app, &app.admin.token, &other.id, MEMBER)
                .await
                .ok();
        }
    }
}

#[tokio::test]
async fn machine_has_its_admin_role_only_while_its_owner_is_an_active_admin() {
    let app = TestApp::start().await;
    let owner = app.further_admin("owner").await;
    let robot = app.machine_with_role(&owner, "robot", ADMIN).await;
    let acts = async |as_admin: bool| {
        let get = json!({ "id": app.admin.id });
        let answer = app.call(&robot.token, "UserService/GetUser", get).await;
        if as_admin {
            answer.ok();
        } else {
            answer.refused("not_found", "USER_NOT_FOUND");
        }
    };
    let admin = &app.admin.token;
    acts(true).await;
    set_role(&app, admin, &owner.id, MEMBER).await.ok();
    acts(false).await;
    set_role(&app, admin, &owner.id, ADMIN).await.ok();
    acts(true).await;
    on(&app, admin, "UserService/DeactivateUser", &owner.id)
        .await
        .ok();
    acts(false).await;
    on(&app, admin, "UserService/ReactivateUser", &owner.id)
        .await
        .ok();
    acts(true).await;
    let member = app.person("member").await;
    let set_owner = json!({ "userId": robot.id, "ownerId": member.id });
    let moved: Value = app
        .call(admin, "UserService/SetOwner", set_owner)
        .await
        .ok();
    assert_eq!(moved["user"]["ownerId"], member.id);
    acts(false).await;
    set_role(&app, admin, &robot.id, MEMBER).await.ok();
    acts(false).await;
}
