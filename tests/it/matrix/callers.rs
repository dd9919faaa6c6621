//! The callers: one for each reason of being refused, and one for each restriction of a valid credential.

use hallpass::domain::{
    id::TokenId,
    token_text::{TokenPrefix, TokenText},
};
use serde_json::{Value, json};

use crate::test_app::{Machine, NewToken, Person, TestApp};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Person,
    Machine,
}

/// A user that a request can name, with one of its tokens.
#[derive(Clone, Debug)]
pub(super) struct TargetUser {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) token_id: String,
}

/// A calling user and its targets.
#[derive(Clone, Debug)]
pub(super) struct CallerUser {
    pub(super) kind: Kind,
    /// Whether it acts as an admin.
    pub(super) admin: bool,
    pub(super) password: String,
    pub(super) sees: usize,
    pub(super) sees_as_admin: usize,
    pub(super) oneself: TargetUser,
    pub(super) own_machine: TargetUser,
    pub(super) other_person: TargetUser,
    pub(super) others_machine: TargetUser,
}

/// A caller.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) name: String,
    /// The presented token; may be empty.
    pub(super) token: String,
    pub(super) token_id: String,
    /// The reason why it is not authenticated.
    pub(super) refused: Option<&'static str>,
    /// The scopes of its token.
    pub(super) scopes: Option<Vec<String>>,
    /// Whether its token is limited to networks.
    pub(super) is_bound: bool,
    /// Whether its token has a parent.
    pub(super) is_child: bool,
    /// Whether it presents a password instead, which only `CreateToken` accepts.
    pub(super) by_password: bool,
    pub(super) who: CallerUser,
}

impl Caller {
    pub(super) fn has(&self, scope: &str) -> bool {
        let scopes = self.scopes.as_ref();
        scopes.is_none_or(|scopes| scopes.iter().any(|own| own == scope))
    }
}

/// The people and machines from which the targets are chosen.
#[derive(Debug)]
pub(super) struct Users {
    pub(super) alice: Person,
    pub(super) dora: Person,
    pub(super) dave: Person,
    pub(super) paul: Person,
    pub(super) root: Person,
    pub(super) robot: Machine,
    pub(super) promoted: Machine,
    pub(super) droid: Machine,
    pub(super) engine: Machine,
    pub(super) pauls: Machine,
}

/// The users of the valid callers.
#[derive(Debug)]
pub(super) struct Roles {
    pub(super) member: CallerUser,
    pub(super) machine: CallerUser,
    pub(super) others_machine: CallerUser,
    pub(super) promoted: CallerUser,
    pub(super) admin_machine: CallerUser,
    pub(super) admin: CallerUser,
}

pub(super) const SCOPES: [&str; 7] = [
    "hallpass:tokens:read",
    "hallpass:tokens:write",
    "hallpass:tokens:verify",
    "hallpass:users:read",
    "hallpass:users:write",
    "hallpass:audit:read",
    "hallpass:admin",
];

fn caller(name: impl ToString, token: &NewToken, who: &CallerUser) -> Caller {
    Caller {
        name: name.to_string(),
        token: token.text.clone(),
        token_id: token.id.clone(),
        refused: None,
        scopes: None,
        is_bound: false,
        is_child: false,
        by_password: false,
        who: who.clone(),
    }
}

impl Caller {
    fn refused(self, reason: &'static str) -> Self {
        Self {
            refused: Some(reason),
            ..self
        }
    }
    fn shows(self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self
        }
    }
    fn scoped(self, scopes: &[&str]) -> Self {
        let scopes = scopes.iter().map(ToString::to_string).collect();
        Self {
            scopes: Some(scopes),
            ..self
        }
    }
    fn by_password(self) -> Self {
        Self {
            by_password: true,
            ..self.shows("")
        }
    }
    fn bound(self) -> Self {
        Self {
            is_bound: true,
            ..self
        }
    }
    fn child(self) -> Self {
        Self {
            is_child: true,
            ..self
        }
    }
}

pub(super) async fn make(
    app: &TestApp,
    users: &Users,
    roles: &Roles,
    unknown: &str,
) -> Vec<Caller> {
    let mut callers = strangers(app, users, roles, unknown).await;
    callers.extend(invalid(app, users, roles).await);
    callers.extend(valid(app, users, roles).await);
    callers
}

/// Callers without one of our secrets.
async fn strangers(app: &TestApp, users: &Users, roles: &Roles, unknown: &str) -> Vec<Caller> {
    let token = app.sign_in(&users.alice, json!({})).await;
    let stranger = |name: &str| caller(name, &token, &roles.member);
    let mut flipped = token.text.clone();
    let last = flipped.pop().unwrap();
    flipped.push(if last == '0' { '1' } else { '0' });
    let id = TokenId::parse(&token.id).unwrap();
    let wrong_secret = TokenText::generate(&TokenPrefix::default(), id);
    let invalid = "CREDENTIALS_INVALID";
    vec![
        stranger("none").shows("").refused("CREDENTIALS_MISSING"),
        stranger("malformed").shows("nonsense").refused(invalid),
        stranger("bad checksum").shows(&flipped).refused(invalid),
        stranger("unknown").shows(unknown).refused(invalid),
        stranger("wrong secret")
            .shows(wrong_secret.expose())
            .refused(invalid),
    ]
}

/// Callers with real tokens that are not valid.
async fn invalid(app: &TestApp, users: &Users, roles: &Roles) -> Vec<Caller> {
    let alice = &users.alice;
    let member =
        |name: &str, token: &NewToken, reason| caller(name, token, &roles.member).refused(reason);
    let elsewhere = json!({ "allowedCidrs": ["10.0.0.0/8"] });
    let expires = json!({ "expireTime": app.clock.after(std::time::Duration::from_hours(1)) });
    let expired = app.sign_in(alice, expires).await;
    let deleted = app.sign_in(alice, json!({})).await;
    let disabled = app.sign_in(alice, json!({})).await;
    let wrong_address = app.sign_in(alice, elsewhere).await;
    let doras = app.sign_in(&users.dora, json!({})).await;
    let daves = app.sign_in(&users.dave, json!({})).await;
    let child = async |parent: &NewToken| app.child(&parent.text, json!({})).await;
    let parent = app.sign_in(alice, json!({})).await;
    let went_with_parent = child(&parent).await;
    let orphan_parent = app.sign_in(alice, json!({})).await;
    let orphan = child(&orphan_parent).await;
    let disabled_parent = app.sign_in(alice, json!({})).await;
    let of_disabled = child(&disabled_parent).await;
    let moved_parent = app.sign_in(alice, json!({})).await;
    let of_moved = child(&moved_parent).await;
    let for_machine = json!({ "userId": users.pauls.id });
    let of_paul = app.child(&users.paul.token, for_machine).await;

    let call = async |procedure: &str, message: Value| {
        let answer = app.call(&users.root.token, procedure, message);
        answer.await.ok();
    };
    for token in [&deleted, &parent, &orphan_parent] {
        let message = json!({ "tokenId": token.id });
        call("TokenService/DeleteToken", message).await;
    }
    call("UserService/DeactivateUser", json!({ "id": users.dora.id })).await;
    call("UserService/DeactivateUser", json!({ "id": users.paul.id })).await;
    call("UserService/DeleteUser", json!({ "id": users.dave.id })).await;
    // States that no procedure produces, or that cascades hide: validity is checked at use nevertheless.
    let sql = app.sql();
    let set = |what: &str, token: &NewToken| {
        let sql = sql.execute(
            &format!("UPDATE tokens SET {what} WHERE id = ?1"),
            [&token.id],
        );
        assert_eq!(sql.unwrap(), 1);
    };
    set("disabled = 1", &disabled);
    set("disabled = 1", &disabled_parent);
    set("delete_time = NULL", &orphan);
    set("delete_time = NULL", &daves);
    set("allowed_cidrs = '10.0.0.0/8'", &moved_parent);
    vec![
        member("expired", &expired, "TOKEN_EXPIRED"),
        member("deleted", &deleted, "TOKEN_DELETED"),
        member("disabled", &disabled, "TOKEN_DISABLED"),
        member("deactivated user", &doras, "USER_DEACTIVATED"),
        member("deleted user", &daves, "USER_DEACTIVATED"),
        member("went with its parent", &went_with_parent, "TOKEN_DELETED"),
        member("deleted parent", &orphan, "PARENT_INVALID"),
        member("disabled parent", &of_disabled, "PARENT_INVALID"),
        member("deactivated parent's user", &of_paul, "PARENT_INVALID"),
        member("wrong address", &wrong_address, "ADDRESS_NOT_ALLOWED"),
        member(
            "wrong address for its parent",
            &of_moved,
            "ADDRESS_NOT_ALLOWED",
        ),
    ]
}

/// Callers with a valid credential.
async fn valid(app: &TestApp, users: &Users, roles: &Roles) -> Vec<Caller> {
    let (alice, root) = (&users.alice, &users.root);
    let token = |text: &str| NewToken {
        id: text.split('_').nth(1).unwrap().to_owned(),
        text: text.to_owned(),
        metadata: Value::Null,
    };
    let plain = app.sign_in(alice, json!({})).await;
    let parent = app.sign_in(alice, json!({})).await;
    let child = app.child(&parent.text, json!({})).await;
    let narrowed = app.sign_in(alice, json!({})).await;
    let of_narrowed = app.child(&narrowed.text, json!({})).await;
    let read = [SCOPES[0]];
    let sql = app.sql().execute(
        "UPDATE tokens SET scopes = ?2 WHERE id = ?1",
        [narrowed.id.as_str(), read[0]],
    );
    assert_eq!(sql.unwrap(), 1);
    let here = app
        .sign_in(alice, json!({ "allowedCidrs": ["127.0.0.0/8"] }))
        .await;
    let mut callers = vec![
        caller("member", &plain, &roles.member),
        caller("member at an allowed address", &here, &roles.member).bound(),
        caller("member's child", &child, &roles.member).child(),
        caller("child of a narrowed parent", &of_narrowed, &roles.member)
            .child()
            .scoped(&read),
        caller("machine", &token(&users.robot.token), &roles.machine),
        caller(
            "other's machine",
            &token(&users.droid.token),
            &roles.others_machine,
        ),
        caller(
            "admin machine of a member",
            &token(&users.promoted.token),
            &roles.promoted,
        ),
        caller(
            "admin machine of an admin",
            &token(&users.engine.token),
            &roles.admin_machine,
        ),
        caller("admin", &token(&root.token), &roles.admin),
        caller("member by password", &plain, &roles.member).by_password(),
        caller("admin by password", &plain, &roles.admin).by_password(),
    ];
    for scopes in SCOPES
        .map(|scope| vec![scope])
        .into_iter()
        .chain([vec!["deploy"], SCOPES.to_vec()])
    {
        let limited = app.sign_in(alice, json!({ "scopes": scopes })).await;
        let name = format!("member with {}", scopes.join(" "));
        callers.push(caller(name, &limited, &roles.member).scoped(&scopes));
    }
    let all_but_admin = SCOPES[..6].to_vec();
    let with_admin = SCOPES[..6].iter().map(|scope| vec![*scope, SCOPES[6]]);
    for scopes in with_admin.chain([all_but_admin, SCOPES.to_vec(), vec![SCOPES[6]]]) {
        let limited = app.sign_in(root, json!({ "scopes": scopes })).await;
        let name = format!("admin with {}", scopes.join(" "));
        callers.push(caller(name, &limited, &roles.admin).scoped(&scopes));
    }
    callers
}
