//! One request for every mutation of the API, for tests that apply to all of them.

use serde_json::{Value, json};

use crate::test_app::{NewToken, Person, TestApp};

pub(crate) struct Mutation {
    /// The caller's token.
    pub(crate) by: String,
    pub(crate) procedure: &'static str,
    pub(crate) message: Value,
    /// Its action in the audit log.
    pub(crate) action: &'static str,
    /// The target's ID; `None` if the mutation creates it.
    pub(crate) target: Option<String>,
    /// Whether a repeat succeeds and changes nothing.
    pub(crate) repeats: bool,
    /// The count in the audit row, dependents included.
    pub(crate) count: u32,
}

impl Mutation {
    /// A mutation that creates something.
    fn new(by: &str, procedure: &'static str, action: &'static str, message: Value) -> Self {
        Self {
            by: by.to_owned(),
            procedure,
            message,
            action,
            target: None,
            repeats: false,
            count: 1,
        }
    }

    fn on(self, target: &str) -> Self {
        let target = Some(target.to_owned());
        Self { target, ..self }
    }

    fn with(self, others: u32) -> Self {
        let count = 1 + others;
        Self { count, ..self }
    }

    fn repeats(self) -> Self {
        let repeats = true;
        Self { repeats, ..self }
    }
}

/// All mutations, to be called in this order.
pub(crate) async fn all(app: &TestApp) -> Vec<Mutation> {
    let alice = app.person("alice").await;
    let robot = app.machine(&alice, "robot").await;
    let token = app.sign_in(&alice, json!({})).await;
    let leaked = app.sign_in(&alice, json!({})).await;
    let bob = app.person("bob").await;
    let mut all = of_tokens(&alice, &token, &bob);
    let revoke = json!({ "tokens": [leaked.text] });
    let revoke = Mutation::new(
        &app.admin.token,
        "AdminService/RevokeTokens",
        "token.revoke",
        revoke,
    );
    all.push(revoke.on(&leaked.id).repeats());
    let found = app.sign_in(&alice, json!({})).await;
    let revoke = Mutation::new(
        &app.admin.token,
        "AdminService/RevokeLeakedTokens",
        "token.revoke_leaked",
        json!({ "tokens": [found.as_leaked()] }),
    );
    all.push(revoke.on(&found.id).repeats());
    all.extend(of_users(&app.admin.token, &alice.token, &robot.id, &bob.id));
    all
}

fn of_tokens(alice: &Person, token: &NewToken, bob: &Person) -> Vec<Mutation> {
    let (create, delete) = ("TokenService/CreateToken", "TokenService/DeleteToken");
    let note = json!({ "note": "n" });
    let password = json!({ "username": "bob", "password": bob.password });
    let id = json!({ "tokenId": token.id });
    let note_of = json!({ "tokenId": token.id, "note": "another" });
    let rotate = json!({ "tokenId": token.id, "gracePeriod": "60s" });
    vec![
        Mutation::new(&alice.token, create, "token.create", note),
        Mutation::new("", create, "token.create", password),
        Mutation::new(
            &alice.token,
            "TokenService/UpdateToken",
            "token.describe",
            note_of,
        )
        .on(&token.id)
        .repeats(),
        Mutation::new(
            &alice.token,
            "TokenService/RotateToken",
            "token.rotate",
            rotate,
        )
        .on(&token.id),
        Mutation::new(&alice.token, delete, "token.delete", id)
            .on(&token.id)
            .repeats(),
    ]
}

fn of_users(admin: &str, own: &str, robot: &str, bob: &str) -> Vec<Mutation> {
    let create = "UserService/CreateUser";
    let person = json!({ "username": "carol", "password": "vexed marmots juggle" });
    let machine = json!({ "username": "second", "userType": "USER_TYPE_MACHINE" });
    let describe = json!({ "userId": robot, "description": "builds" });
    let password = json!({ "userId": bob, "newPassword": "vexed marmots juggle" });
    let role = json!({ "userId": bob, "serverRole": 1 });
    let owner = json!({ "userId": robot, "ownerId": bob });
    let id = json!({ "id": robot });
    let on = |by: &str, procedure, action, target: &str, message: &Value| {
        Mutation::new(by, procedure, action, message.clone()).on(target)
    };
    #[rustfmt::skip]
    let all = vec![
        Mutation::new(admin, create, "user.create", person),
        Mutation::new(own, create, "user.create", machine),
        on(own, "UserService/UpdateUserSettings", "user.describe", robot, &describe).repeats(),
        on(admin, "UserService/SetPassword", "user.set_password", bob, &password),
        on(admin, "UserService/UpdateUserServerRole", "user.set_role", bob, &role).repeats(),
        on(own, "UserService/DeactivateUser", "user.deactivate", robot, &id).repeats(),
        on(admin, "UserService/ReactivateUser", "user.reactivate", robot, &id).repeats(),
        on(admin, "UserService/SetOwner", "user.set_owner", robot, &owner).repeats(),
        on(admin, "UserService/DeleteUser", "user.delete", robot, &id).with(1),
    ];
    all
}

/// All users and tokens, to detect changes; without last uses, which a job writes.
pub(crate) fn contents(app: &TestApp) -> Vec<Vec<rusqlite::types::Value>> {
    let sql = app.sql();
    let mut all = Vec::new();
    for table in ["users", "tokens"] {
        let select = format!("SELECT * FROM {table} ORDER BY id");
        let mut select = sql.prepare(&select).unwrap();
        let names = select.column_names();
        let kept = |i: &usize| !names[*i].starts_with("last_use_");
        let columns: Vec<_> = (0..names.len()).filter(kept).collect();
        let rows = select
            .query_map([], |row| columns.iter().map(|i| row.get(*i)).collect())
            .unwrap();
        all.extend(rows.map(Result::unwrap));
    }
    all
}
