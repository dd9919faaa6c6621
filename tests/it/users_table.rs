//! The permissions on users: every rule for every role, on every relation of the target to the caller.

use serde_json::{Value, json};

use crate::test_app::{Machine, Person, TestApp};

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
