//! What a scoped token may do on Hallpass: only what its scopes say, and never more than its user.

use serde_json::{Value, json};

use crate::test_app::TestApp;

/// Each procedure with a request that an admin may make, and the scope that it needs.
fn scoped_calls(other: &str) -> Vec<(&'static str, Value, &'static str)> {
    let tokens_read = "hallpass:tokens:read";
    let tokens_write = "hallpass:tokens:write";
    let users_read = "hallpass:users:read";
    let users_write = "hallpass:users:write";
    let new_password = "vexed marmots juggle quince";
    vec![
        ("TokenService/CreateToken", json!({}), tokens_write),
        (
            "TokenService/GetToken",
            json!({ "tokenId": "x" }),
            tokens_read,
        ),
        ("TokenService/ListTokens", json!({}), tokens_read),
        (
            "TokenService/DeleteToken",
            json!({ "tokenId": "x" }),
            tokens_write,
        ),
        (
            "UserService/CreateUser",
            json!({ "username": "a-new-robot", "userType": "USER_TYPE_MACHINE" }),
            users_write,
        ),
        ("UserService/GetUser", json!({ "id": "x" }), users_read),
        (
            "UserService/GetUserByUsername",
            json!({ "username": "admin" }),
            users_read,
        ),
        ("UserService/ListUsers", json!({}), users_read),
        ("UserService/CountUsers", json!({}), users_read),
        (
            "UserService/UpdateUserSettings",
            json!({ "userId": other }),
            users_write,
        ),
        (
            "UserService/UpdateUserServerRole",
            json!({ "userId": other, "serverRole": 2 }),
            users_write,
        ),
        (
            "UserService/SetPassword",
            json!({ "userId": other, "newPassword": new_password }),
            users_write,
        ),
        (
            "UserService/SetOwner",
            json!({ "userId": other }),
            users_write,
        ),
        (
            "UserService/DeactivateUser",
            json!({ "id": other }),
            users_write,
        ),
        (
            "UserService/ReactivateUser",
            json!({ "id": other }),
            users_write,
        ),
        (
            "UserService/DeleteUser",
            json!({ "id": other }),
            users_write,
        ),
        (
            "AuditService/ListAuditEvents",
            json!({}),
            "hallpass:audit:read",
        ),
    ]
}

const ALL: [&str; 6] = [
    "hallpass:tokens:read",
    "hallpass:tokens:write",
    "hallpass:tokens:verify",
    "hallpass:users:read",
    "hallpass:users:write",
    "hallpass:audit:read",
];

#[tokio::test]
async fn each_procedure_needs_its_scope_and_all_others_together_do_not_help() {
    let app = TestApp::start().await;
    let other = app.person("other").await;
    for (procedure, message, scope) in scoped_calls(&other.id) {
        let mut others: Vec<_> = ALL.into_iter().filter(|s| *s != scope).collect();
        others.extend(["hallpass:admin", "deploy"]);
        let without = app.sign_in(&app.admin, json!({ "scopes": others })).await;
        let answer = app.call(&without.text, procedure, message.clone()).await;
        let failure = answer.refused("permission_denied", "SCOPE_MISSING");
        assert!(failure.message.contains(scope), "{procedure}: {failure:?}");

        let with = json!({ "scopes": [scope, "hallpass:admin"] });
        let with = app.sign_in(&app.admin, with).await;
        let answer = app.call(&with.text, procedure, message).await;
        if let Err(failure) = answer.result {
            assert_ne!(
                failure.code, "permission_denied",
                "{procedure}: {failure:?}"
            );
        }
    }
}

#[tokio::test]
async fn get_current_user_and_deleting_itself_need_no_scope() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({ "scopes": ["deploy"] })).await;
    assert!(app.accepts(&token.text).await);
    let owner = "buf.registry.owner.v1.UserService/GetCurrentUser";
    app.call(&token.text, owner, json!({})).await.ok();
    let other = app.sign_in(&alice, json!({})).await;
    let delete = async |id: &str| {
        let message = json!({ "tokenId": id });
        let delete = app.call(&token.text, "TokenService/DeleteToken", message);
        delete.await
    };
    let answer = delete(&other.id).await;
    answer.refused("permission_denied", "SCOPE_MISSING");
    delete(&token.id).await.ok();
    let answer = delete(&token.id).await;
    answer.refused("unauthenticated", "TOKEN_DELETED");
}

#[tokio::test]
async fn without_the_admin_scope_an_admins_token_acts_on_its_own_only() {
    let app = TestApp::start().await;
    let bob = app.person("bob").await;
    let token = app.sign_in(&app.admin, json!({ "scopes": ALL })).await;
    let bobs = app.sign_in(&bob, json!({})).await;
    let call = async |procedure: &str, message: Value| {
        let answer = app.call(&token.text, procedure, message);
        answer.await
    };
    let id = json!({ "tokenId": bobs.id });
    call("TokenService/GetToken", id.clone())
        .await
        .refused("not_found", "TOKEN_NOT_FOUND");
    call("TokenService/DeleteToken", id)
        .await
        .refused("not_found", "TOKEN_NOT_FOUND");
    call("TokenService/ListTokens", json!({ "userId": bob.id }))
        .await
        .refused("permission_denied", "PERMISSION_DENIED");
    call("UserService/GetUser", json!({ "id": bob.id }))
        .await
        .refused("not_found", "USER_NOT_FOUND");
    call("AuditService/ListAuditEvents", json!({}))
        .await
        .refused("permission_denied", "PERMISSION_DENIED");
    let users = call("UserService/ListUsers", json!({})).await.ok();
    assert_eq!(users["users"].as_array().unwrap().len(), 1);
    call("TokenService/ListTokens", json!({})).await.ok();
}

#[tokio::test]
async fn scopes_never_grant() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let everything = [ALL.as_slice(), &["hallpass:admin"]].concat();
    let token = app.sign_in(&alice, json!({ "scopes": everything })).await;
    let answer = app.call(&token.text, "AuditService/ListAuditEvents", json!({}));
    answer
        .await
        .refused("permission_denied", "PERMISSION_DENIED");
    let get = json!({ "id": app.admin.id });
    let answer = app.call(&token.text, "UserService/GetUser", get).await;
    answer.refused("not_found", "USER_NOT_FOUND");
}
