//! A caller's rights are decided in the transaction: a caller that was valid when its request was
//! checked, and no longer is when the transaction runs, changes nothing.

use hallpass::{
    app::{
        Error,
        caller::{Caller, ClientInfo},
        error::{Denied, Unauthenticated},
        tokens::CreateToken,
        users::SetPassword,
    },
    domain::{id::RequestId, reason::Reason, secret::Secret},
};
use serde_json::json;

use crate::test_app::TestApp;

use crate::use_cases::{ADMINS, OWNERS, READS, Target, run};

fn origin(app: &TestApp) -> ClientInfo {
    ClientInfo {
        request_id: RequestId::generate(app.app.now()),
        client_request_id: None,
        ip: Some([127, 0, 0, 1].into()),
        user_agent: String::new(),
    }
}

async fn caller(app: &TestApp, token: &str) -> Caller {
    app.app
        .authenticate(token, &origin(app).into())
        .await
        .unwrap()
}

fn all() -> impl Iterator<Item = &'static str> {
    OWNERS.into_iter().chain(ADMINS).chain(READS)
}

/// The control: without the change nothing is refused.
#[tokio::test]
async fn unchanged_caller_may_do_everything() {
    let app = TestApp::start().await;
    let root = caller(&app, &app.admin.token).await;
    for (n, use_case) in all().enumerate() {
        let target = Target::new(&app, &app.admin, &format!("robot-{n}")).await;
        let done = run(&app.app, use_case, &root, &target).await;
        done.unwrap_or_else(|error| panic!("{use_case}: {error}"));
    }
}

#[tokio::test]
async fn caller_whose_token_was_deleted_after_the_check_does_nothing() {
    let app = TestApp::start().await;
    let target = Target::new(&app, &app.admin, "robot").await;
    for use_case in all() {
        let token = app.sign_in(&app.admin, json!({})).await;
        let gone = caller(&app, &token.text).await;
        let delete = json!({ "tokenId": token.id });
        let delete = app.call(&app.admin.token, "TokenService/DeleteToken", delete);
        delete.await.ok();
        let done = run(&app.app, use_case, &gone, &target).await;
        let is_refused = matches!(done, Err(Error::Unauthenticated(_)));
        assert!(is_refused, "{use_case}: {done:?}");
    }
}

#[tokio::test]
async fn admin_that_was_demoted_after_the_check_does_nothing_to_what_is_anothers() {
    let app = TestApp::start().await;
    let target = Target::new(&app, &app.admin, "robot").await;
    let former = app.further_admin("former").await;
    for use_case in all() {
        let role = async |role: u8| {
            let message = json!({ "userId": former.id, "serverRole": role });
            let set = app.call(
                &app.admin.token,
                "UserService/UpdateUserServerRole",
                message,
            );
            set.await.ok();
        };
        role(1).await;
        let stale = caller(&app, &former.token).await;
        role(2).await;
        let done = run(&app.app, use_case, &stale, &target).await;
        let is_refused = matches!(done, Err(Error::Denied(Denied::Role) | Error::NotFound(_)));
        assert!(is_refused, "{use_case}: {done:?}");
    }
}

#[tokio::test]
async fn former_owner_changed_after_the_check_does_nothing_to_the_machine() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let target = Target::new(&app, &alice, "robot").await;
    let stale = caller(&app, &alice.token).await;
    // The token is cached as that of alice's machine.
    app.app.get_token(&stale, &target.token.id).await.unwrap();
    let message = json!({ "userId": target.user_id, "ownerId": app.admin.id });
    let set = app.call(&app.admin.token, "UserService/SetOwner", message);
    set.await.ok();
    let reads = ["get token", "explain token", "list tokens", "get user"];
    for use_case in OWNERS.into_iter().chain(reads) {
        let done = run(&app.app, use_case, &stale, &target).await;
        let is_refused = matches!(done, Err(Error::Denied(Denied::Role) | Error::NotFound(_)));
        assert!(is_refused, "{use_case}: {done:?}");
    }
}

#[tokio::test]
async fn sign_in_is_valid_only_while_user_and_password_are() {
    let app = TestApp::start().await;
    let root = &app.admin.token;
    for (n, change) in ["nothing", "deactivated", "deleted", "password", "described"]
        .into_iter()
        .enumerate()
    {
        let person = app.person(&format!("person-{n}")).await;
        let password = Secret::new(person.password.clone());
        let signed_in = app.app.sign_in(&person.name, password, &origin(&app)).await;
        let signed_in = signed_in.unwrap();
        let call = async |procedure, message| app.call(root, procedure, message).await.ok();
        match change {
            "deactivated" => {
                call("UserService/DeactivateUser", json!({ "id": person.id })).await;
            }
            "deleted" => {
                call("UserService/DeleteUser", json!({ "id": person.id })).await;
            }
            "password" => {
                let new = "a password that is long enough";
                let message = json!({ "userId": person.id, "newPassword": new });
                call("UserService/SetPassword", message).await;
            }
            "described" => {
                let message = json!({ "userId": person.id, "description": "seen" });
                call("UserService/UpdateUserSettings", message).await;
            }
            _ => {}
        }
        let created = app
            .app
            .create_token(&signed_in, CreateToken::default())
            .await
            .map(drop);
        match change {
            "nothing" | "described" => created.unwrap(),
            _ => {
                let wrong = Unauthenticated::WrongPassword;
                let is_wrong = matches!(created, Err(Error::Unauthenticated(e)) if e == wrong);
                assert!(is_wrong, "{change}: {created:?}");
            }
        }
    }
}

/// Of two requests with the same old password, the later one is refused.
#[tokio::test]
async fn old_password_must_still_be_the_password_when_the_new_one_is_set() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let set = async |new: &str| {
        let request = SetPassword {
            user_id: String::new(),
            old: Secret::new(alice.password.clone()),
            new: Secret::new(new.to_owned()),
            delete_tokens: false,
        };
        let alice = caller(&app, &alice.token).await;
        app.app.set_password(&alice, request).await.map(drop)
    };
    let both = futures_util::join!(
        set("first of two long passwords"),
        set("second of two long passwords")
    );
    let (one, other) = both;
    assert_ne!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
    let refused = one.and(other).unwrap_err();
    assert_eq!(refused.reason(), Reason::CredentialsInvalid);
}

#[tokio::test]
async fn concurrent_sign_ins_that_rehash_all_succeed() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let app = app
        .restart_with(|settings| settings.app.passwords.passes = 2)
        .await;
    let sign_in = async || app.sign_in(&alice, json!({})).await;
    let (a, b, c) = futures_util::join!(sign_in(), sign_in(), sign_in());
    for token in [a, b, c] {
        assert!(app.accepts(&token.text).await);
    }
}
