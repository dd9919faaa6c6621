//! `CreateToken`: for which users a caller may create tokens, the fields, and the quota.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{client::Reply, test_app::TestApp};

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
async fn creation_for_others_is_refused_alike_whether_or_not_they_exist() {
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
    // The same with a password; and a machine owns nothing, not even its owner's machines.
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
async fn admin_may_not_create_for_another_person_and_unknown_users_are_not_found() {
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

/// Creates a machine of the given owner.
async fn machine_for(app: &TestApp, by: &str, name: &str, owner: &str) -> Reply {
    let message = json!({ "username": name, "userType": "USER_TYPE_MACHINE", "ownerId": owner });
    app.call(by, "UserService/CreateUser", message).await
}

#[tokio::test]
async fn members_create_their_own_machines_and_admins_anyones() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let (admin, root) = (&app.admin, app.further_admin("root").await);
    for (number, (by, named, owner)) in [
        (&alice, "", &alice),
        (&alice, &*alice.id, &alice),
        (admin, "", admin),
        (admin, &*admin.id, admin),
        (admin, &*alice.id, &alice),
        (admin, &*root.id, &root),
    ]
    .into_iter()
    .enumerate()
    {
        let made = machine_for(&app, &by.token, &format!("robot-{number}"), named).await;
        let made = made.ok();
        assert_eq!(made["user"]["ownerId"], owner.id, "{number}");
        let id = json!({ "id": made["user"]["id"] });
        let seen = app.call(&owner.token, "UserService/GetUser", id).await.ok();
        assert_eq!(seen, made);
    }
}

#[tokio::test]
async fn member_cannot_create_a_machine_for_another_and_learns_nothing() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let robot = app.machine(&bob, "robot").await;
    let own = app.machine(&alice, "own").await;
    let nobody = "0000000000000000000000";
    let mut first = None;
    for id in [
        &*bob.id,
        &app.admin.id,
        &robot.id,
        &own.id,
        nobody,
        "nonsense",
    ] {
        let answer = machine_for(&app, &alice.token, "new", id).await;
        answer
            .clone()
            .refused("permission_denied", "PERMISSION_DENIED");
        let raw = answer.raw_refusal();
        assert_eq!(*first.get_or_insert(raw.clone()), raw, "{id}");
    }
    // A machine creates none, not even for its owner.
    for id in ["", &*own.id, &alice.id] {
        let answer = machine_for(&app, &own.token, "new", id).await;
        answer.refused("permission_denied", "PERMISSION_DENIED");
    }
    // An admin's token without the admin scope creates machines only for its own user.
    let scopes = json!({ "scopes": ["hallpass:users:write"] });
    let limited = app.sign_in(&app.admin, scopes).await;
    let answer = machine_for(&app, &limited.text, "new", &bob.id).await;
    answer.refused("permission_denied", "PERMISSION_DENIED");
    let made = machine_for(&app, &limited.text, "new", &app.admin.id).await;
    assert_eq!(made.ok()["user"]["ownerId"], app.admin.id);
}

#[tokio::test]
async fn owner_must_be_an_existing_person_and_people_have_none() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let admin = &app.admin.token;
    let answer = machine_for(&app, admin, "new", &robot.id).await;
    answer.refused("failed_precondition", "WRONG_USER_TYPE");
    for id in ["0000000000000000000000", "nonsense"] {
        let answer = machine_for(&app, admin, "new", id).await;
        answer.refused("not_found", "USER_NOT_FOUND");
    }
    let person = json!({
        "username": "new",
        "password": "seven drowsy lanterns hum",
        "ownerId": alice.id,
    });
    let answer = app.call(admin, "UserService/CreateUser", person).await;
    answer.invalid_field("owner_id");
}

#[tokio::test]
async fn notes_are_stored_verbatim_and_may_be_empty_or_repeated() {
    let app = TestApp::start().await;
    for note in ["", "x", "x", &"é".repeat(512), "a\u{200d}b \\ \" \u{1F600}"] {
        let token = app.child(&app.admin.token, json!({ "note": note })).await;
        let kept = token.metadata.get("note").cloned().unwrap_or("".into());
        assert_eq!(kept, note);
    }
}

#[tokio::test]
async fn long_notes_and_control_characters_are_refused_without_an_echo() {
    let app = TestApp::start().await;
    for note in ["a\nb", "a\u{0}", "\u{7f}", "\u{85}", &"n".repeat(1_025)] {
        let answer = app.call(&app.admin.token, CREATE, json!({ "note": note }));
        let failure = answer.await.invalid_field("note");
        assert!(!failure.message.contains(note), "{failure:?}");
    }
}

#[tokio::test]
async fn scopes_and_networks_are_returned_sorted_and_deduplicated() {
    let app = TestApp::start().await;
    let message = json!({
        "scopes": ["deploy", "a/b_c.d-e:f", "hallpass:tokens:read", "deploy"],
        "allowedCidrs": ["2001:db8::/32", "127.0.0.1", "::ffff:10.0.0.0/104", "127.0.0.1/32"],
    });
    let token = app.child(&app.admin.token, message).await;
    let scopes = json!(["a/b_c.d-e:f", "deploy", "hallpass:tokens:read"]);
    assert_eq!(token.metadata["scopes"], scopes);
    let cidrs = json!(["10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32"]);
    assert_eq!(token.metadata["allowedCidrs"], cidrs);
}

fn numbered(count: usize, text: impl Fn(usize) -> String) -> Value {
    (0..count).map(text).collect()
}

#[tokio::test]
async fn bad_scopes_and_networks_are_refused() {
    let app = TestApp::start().await;
    let refused = async |field: &str, values: Value| {
        let answer = app.call(&app.admin.token, CREATE, json!({ field: values }));
        answer.await
    };
    let scope = |i| format!("scope-{i}");
    for bad in [
        json!([""]),
        json!(["A"]),
        json!(["a b"]),
        json!(["é"]),
        json!(["x".repeat(65)]),
        json!(["hallpass:everything"]),
        json!(["hallpass:"]),
        numbered(33, scope),
    ] {
        refused("scopes", bad).await.invalid_field("scopes");
    }
    refused("scopes", json!(["x".repeat(64)])).await.ok();
    refused("scopes", numbered(32, scope)).await.ok();

    let cidr = |i| format!("10.0.{i}.0/24");
    for bad in [
        json!([""]),
        json!(["here"]),
        json!(["10.0.0.0/33"]),
        json!(["10.1.2.3/8"]),
        json!(["10.0.0/8"]),
        numbered(33, cidr),
    ] {
        let answer = refused("allowedCidrs", bad).await;
        answer.invalid_field("allowed_cidrs");
    }
    refused("allowedCidrs", numbered(32, cidr)).await.ok();
}

async fn with_at_most(max: u32) -> TestApp {
    TestApp::start_with(|settings| settings.app.max_tokens_per_user = max).await
}

#[tokio::test]
async fn quota_counts_live_tokens_disabled_ones_included() {
    let app = with_at_most(3).await;
    let alice = app.person("alice").await;
    let expires = app.clock.after(Duration::from_mins(1));
    let second = app.sign_in(&alice, json!({ "expireTime": expires })).await;
    let third = app.sign_in(&alice, json!({})).await;
    let create = async || {
        let message = json!({ "username": alice.name, "password": alice.password });
        app.call("", CREATE, message).await
    };
    let full = create().await;
    let failure = full.refused("resource_exhausted", "TOO_MANY_TOKENS");
    assert!(failure.message.contains('3'), "{failure:?}");
    assert_eq!(failure.detail("RetryInfo"), None, "waiting does not help");

    let disable = "UPDATE tokens SET disabled = 1 WHERE id = ?1";
    assert_eq!(app.sql().execute(disable, [&second.id]).unwrap(), 1);
    create()
        .await
        .refused("resource_exhausted", "TOO_MANY_TOKENS");

    let delete = json!({ "tokenId": third.id });
    let deleted = app.call(&alice.token, "TokenService/DeleteToken", delete);
    deleted.await.ok();
    create().await.ok();
    create()
        .await
        .refused("resource_exhausted", "TOO_MANY_TOKENS");
    app.clock.advance(Duration::from_mins(1));
    create().await.ok();
}

#[tokio::test]
async fn quota_of_children_spans_all_machines() {
    let app = with_at_most(3).await;
    let alice = app.person("alice").await;
    let mut machines = Vec::new();
    for name in ["robot-a", "robot-b"] {
        machines.push(app.machine(&alice, name).await.id);
    }
    let create = async |machine: &str| {
        let message = json!({ "userId": machine });
        app.call(&alice.token, CREATE, message).await
    };
    create(&machines[0]).await.ok();
    create(&machines[0]).await.ok();
    let first: Value = create(&machines[1]).await.ok();
    create(&machines[1])
        .await
        .refused("resource_exhausted", "TOO_MANY_TOKENS");
    let delete = json!({ "tokenId": first["metadata"]["id"] });
    let deleted = app.call(&alice.token, "TokenService/DeleteToken", delete);
    deleted.await.ok();
    create(&machines[1]).await.ok();
}
