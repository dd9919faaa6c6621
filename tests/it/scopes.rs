//! What a scoped token may do on Hallpass: only what its scopes allow, and never more than its user.

use hallpass::domain::scope::OwnScope;
use serde_json::{Value, json};

use crate::{client::Procedure, matrix::table::TABLE, test_app::TestApp};

/// Each procedure that needs a scope, with a request without a target, and the scopes.
fn scoped_calls() -> impl Iterator<Item = (&'static str, Value, Vec<&'static str>)> {
    TABLE.iter().filter_map(|line| {
        let message = Procedure::find(line.procedure).naming("x", "", "x");
        let scopes = [&[line.scope?], line.also].concat();
        Some((line.procedure, message, scopes))
    })
}

/// All our scopes but admin.
const ALL: [&str; 6] = [
    "hallpass:tokens:read",
    "hallpass:tokens:write",
    "hallpass:tokens:verify",
    "hallpass:users:read",
    "hallpass:users:write",
    "hallpass:audit:read",
];

#[tokio::test]
async fn each_procedure_needs_its_own_scopes() {
    let app = TestApp::start().await;
    for (procedure, message, scopes) in scoped_calls() {
        for scope in &scopes {
            let others = OwnScope::ALL.iter().map(|scope| scope.as_str());
            let mut others: Vec<_> = others.filter(|s| s != scope).collect();
            others.push("deploy");
            let without = app.sign_in(&app.admin, json!({ "scopes": others })).await;
            let answer = app.call(&without.text, procedure, message.clone()).await;
            let failure = answer.refused("permission_denied", "SCOPE_MISSING");
            assert!(failure.message.contains(scope), "{procedure}: {failure:?}");
        }

        let with = [&scopes[..], &["hallpass:admin"]].concat();
        let with = json!({ "scopes": with });
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
async fn without_the_admin_scope_an_admins_token_acts_only_for_its_user() {
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
