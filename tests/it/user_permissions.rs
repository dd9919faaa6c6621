//! The permissions on users: every rule for every role, on every relation of the target to the caller; and that the
//! last active admin cannot be removed.

use serde_json::{Value, json};

use crate::{
    client::Reply,
    test_app::{Machine, Person, TestApp},
};

const MEMBER: &str = "SERVER_ROLE_MEMBER";
const ADMIN: &str = "SERVER_ROLE_ADMIN";

/// The kind of caller, and the targets of its columns.
#[derive(Clone, Copy, Debug, PartialEq)]
enum CallerKind {
    /// Targets: itself, its own machine, another person, another's machine.
    Member,
    /// Targets: itself, its owner, another machine of its owner.
    Machine,
    /// The same targets as a member.
    Admin,
}

/// A rule: the action, and for each target `+` allowed, `d` permission denied, `n` not found, `t` wrong type.
struct Rule {
    what: &'static str,
    member: &'static str,
    machine: &'static str,
    admin: &'static str,
}

const fn rule(
    what: &'static str,
    member: &'static str,
    machine: &'static str,
    admin: &'static str,
) -> Rule {
    Rule {
        what,
        member,
        machine,
        admin,
    }
}

#[rustfmt::skip]
const RULES: [Rule; 13] = [
    rule("UserService/GetUser",              "++nn", "+nn", "++++"),
    rule("UserService/GetUserByUsername",    "++nn", "+nn", "++++"),
    rule("UserService/UpdateUserSettings",   "++nn", "+nn", "++++"),
    rule("UserService/DeactivateUser",       "d+nn", "dnn", "++++"),
    rule("UserService/DeleteUser",           "d+nn", "dnn", "++++"),
    rule("UserService/ReactivateUser",       "dddd", "ddd", "++++"),
    rule("UserService/UpdateUserServerRole", "dddd", "ddd", "++++"),
    rule("UserService/SetOwner",             "dddd", "ddd", "t+t+"),
    rule("UserService/SetPassword",          "+nnn", "tnn", "+t+t"),
    rule("TokenService/CreateToken",         "++dd", "+dd", "++d+"),
    rule("TokenService/ListTokens",          "++dd", "+dd", "++++"),
    rule("TokenService/GetToken",            "++nn", "+nn", "++++"),
    rule("TokenService/DeleteToken",         "++nn", "+nn", "++++"),
];

/// The target of an action.
struct Target {
    id: String,
    name: String,
    token_id: String,
}

impl Target {
    fn person(person: &Person) -> Self {
        Self::new(&person.id, &person.name, &person.token)
    }

    fn machine(machine: &Machine, name: &str) -> Self {
        Self::new(&machine.id, name, &machine.token)
    }

    fn new(id: &str, name: &str, token: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            token_id: token.split('_').nth(1).unwrap().to_owned(),
        }
    }
}

fn request(what: &str, target: &Target, caller: &Person, new_owner: &str) -> Value {
    let (_, method) = what.split_once('/').unwrap();
    match method {
        "GetUserByUsername" => json!({ "username": target.name }),
        "UpdateUserSettings" => json!({ "userId": target.id, "description": "seen" }),
        "UpdateUserServerRole" => json!({ "userId": target.id, "serverRole": 2 }),
        "SetOwner" => json!({ "userId": target.id, "ownerId": new_owner }),
        "SetPassword" => json!({
            "userId": target.id,
            "oldPassword": caller.password,
            "newPassword": "a password that is long enough",
        }),
        "CreateToken" | "ListTokens" => json!({ "userId": target.id }),
        "GetToken" | "DeleteToken" => json!({ "tokenId": target.token_id }),
        _ => json!({ "id": target.id }),
    }
}

/// Creates all users anew, so that the cases are independent.
async fn cell(app: &TestApp, rule: &Rule, by: CallerKind, column: usize, n: usize) -> char {
    let caller = match by {
        CallerKind::Admin => app.further_admin(&format!("caller-{n}")).await,
        CallerKind::Member | CallerKind::Machine => app.person(&format!("caller-{n}")).await,
    };
    let other = app.person(&format!("other-{n}")).await;
    let robot = format!("robot-{n}");
    let (token, target) = match (by, column) {
        (CallerKind::Machine, _) => {
            let own = app.machine(&caller, &robot).await;
            let sibling = format!("sibling-{n}");
            let target = match column {
                0 => Target::machine(&own, &robot),
                1 => Target::person(&caller),
                _ => Target::machine(&app.machine(&caller, &sibling).await, &sibling),
            };
            (own.token, target)
        }
        (_, 0) => (caller.token.clone(), Target::person(&caller)),
        (_, 1) => {
            let own = app.machine(&caller, &robot).await;
            (caller.token.clone(), Target::machine(&own, &robot))
        }
        (_, 2) => (caller.token.clone(), Target::person(&other)),
        _ => {
            let theirs = app.machine(&other, &robot).await;
            (caller.token.clone(), Target::machine(&theirs, &robot))
        }
    };
    let message = request(rule.what, &target, &caller, &app.admin.id);
    match app.call(&token, rule.what, message).await.result {
        Ok(_) => '+',
        Err(failure) => match (failure.code.as_str(), failure.reason()) {
            ("permission_denied", "PERMISSION_DENIED") => 'd',
            ("not_found", "USER_NOT_FOUND" | "TOKEN_NOT_FOUND") => 'n',
            ("failed_precondition", "WRONG_USER_TYPE") => 't',
            other => panic!("{other:?}"),
        },
    }
}

#[tokio::test]
async fn every_rule_holds_for_every_role() {
    let app = TestApp::start().await;
    let mut n = 0;
    for rule in &RULES {
        let columns = [
            (CallerKind::Member, rule.member),
            (CallerKind::Machine, rule.machine),
            (CallerKind::Admin, rule.admin),
        ];
        for (by, expected) in columns {
            let mut got = String::new();
            for column in 0..expected.len() {
                n += 1;
                got.push(cell(&app, rule, by, column, n).await);
            }
            assert_eq!(got, expected, "{} by {by:?}", rule.what);
        }
    }
}

#[tokio::test]
async fn admins_create_people_and_people_create_machines() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let role = "SERVER_ROLE_ADMIN";
    let admin_robot = app.machine_with_role(&app.admin, "admin-robot", role).await;
    let create = async |by: &str, message: Value| {
        let answer = app.call(by, "UserService/CreateUser", message);
        answer.await
    };
    let person = |name: &str| json!({ "username": name, "password": "vexed marmots juggle" });
    let machine = |name: &str| json!({ "username": name, "userType": "USER_TYPE_MACHINE" });

    for by in [&alice.token, &robot.token] {
        let answer = create(by, person("someone")).await;
        answer.refused("permission_denied", "PERMISSION_DENIED");
    }
    create(&admin_robot.token, person("by-admin-robot"))
        .await
        .ok();
    // A machine owns nothing, whatever its role.
    for by in [&robot.token, &admin_robot.token] {
        let answer = create(by, machine("something")).await;
        answer.refused("permission_denied", "PERMISSION_DENIED");
    }
    // So it names a person as the owner, which only an admin's machine may.
    let mut owned = machine("by-robot");
    owned["ownerId"] = alice.id.clone().into();
    let answer = create(&robot.token, owned.clone()).await;
    answer.refused("permission_denied", "PERMISSION_DENIED");
    let made = create(&admin_robot.token, owned).await.ok();
    assert_eq!(made["user"]["ownerId"], alice.id);
    let made = create(&alice.token, machine("second")).await.ok();
    assert_eq!(made["user"]["ownerId"], alice.id);
    assert_eq!(made["user"]["role"], "SERVER_ROLE_MEMBER");
    let mut admin = machine("third");
    admin["role"] = role.into();
    let answer = create(&alice.token, admin.clone()).await;
    answer.refused("permission_denied", "PERMISSION_DENIED");
    let made = create(&app.admin.token, admin).await.ok();
    assert_eq!(made["user"]["role"], role);
}

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
