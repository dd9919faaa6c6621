//! The use cases by name.

use hallpass::{
    app::{
        App, Error,
        audit::AuditSelection,
        caller::Caller,
        explain::ExplainToken,
        page::PageRequest,
        tokens::{
            CreateToken, ListAllTokens, ListTokens, RevokeTokens, RotateToken, TokenSelection,
            UpdateToken,
        },
        users::{CreateUser, ListUsers, NewUser, SetPassword},
    },
    domain::{presented_token::PresentedToken, secret::Secret, token_text::TokenText, user::Role},
};
use serde_json::json;

use crate::test_app::{NewToken, Person, TestApp};

/// The users and tokens of a use case.
pub(crate) struct Target {
    pub(crate) user_id: String,
    pub(crate) name: String,
    pub(crate) token: NewToken,
    pub(crate) successor: NewToken,
    pub(crate) person: Person,
}

impl Target {
    /// Creates a machine of `owner`, and a person.
    pub(crate) async fn new(app: &TestApp, owner: &Person, name: &str) -> Self {
        let machine = app.machine(owner, name).await;
        let person = app.person(&format!("{name}-person")).await;
        let token = async || app.sign_in(owner, json!({ "userId": machine.id })).await;
        let (one, rotated) = (token().await, token().await);
        let rotate = json!({ "tokenId": rotated.id, "gracePeriod": "3600s" });
        let answer = app.call(&owner.token, "TokenService/RotateToken", rotate);
        Self {
            user_id: machine.id,
            name: name.to_owned(),
            token: one,
            successor: NewToken::read(&answer.await.ok()),
            person,
        }
    }
}

/// Use cases that change something, for the owner of a machine.
pub(crate) const OWNERS: [&str; 8] = [
    "create token",
    "update token",
    "disable token",
    "undo rotation",
    "rotate token",
    "delete token",
    "describe user",
    "deactivate user",
];
/// The same for admins only.
pub(crate) const ADMINS: [&str; 10] = [
    "create person",
    "create admin machine",
    "set role",
    "set owner",
    "set password",
    "reactivate user",
    "revoke tokens",
    "revoke named tokens",
    "revoke leaked",
    "delete user",
];
pub(crate) const READS: [&str; 10] = [
    "get token",
    "explain token",
    "list tokens",
    "list all tokens",
    "count all tokens",
    "get user",
    "get user by name",
    "list users",
    "list audit",
    "stream audit",
];

pub(crate) async fn run(
    app: &App,
    use_case: &str,
    caller: &Caller,
    target: &Target,
) -> Result<(), Error> {
    if READS.contains(&use_case) {
        read(app, use_case, caller, target).await
    } else if use_case.contains("token")
        || use_case.contains("rotation")
        || use_case == "revoke leaked"
    {
        change_token(app, use_case, caller, target).await
    } else {
        change_user(app, use_case, caller, target).await
    }
}

fn selection(target: &Target) -> TokenSelection {
    TokenSelection {
        user_id: target.user_id.clone(),
        ..TokenSelection::default()
    }
}

fn long_password() -> Secret {
    Secret::new("a password that is long enough".to_owned())
}

fn user(name: String, role: Role, kind: NewUser) -> CreateUser {
    CreateUser {
        username: name,
        description: String::new(),
        role: Ok(role),
        kind: Ok(kind),
    }
}

fn update(target: &Target, note: Option<&str>, disabled: Option<bool>) -> UpdateToken {
    UpdateToken {
        token_id: target.token.id.clone(),
        note: note.map(str::to_owned),
        disabled,
        ..UpdateToken::default()
    }
}

/// Use cases that change tokens.
async fn change_token(
    app: &App,
    use_case: &str,
    caller: &Caller,
    target: &Target,
) -> Result<(), Error> {
    let Target {
        user_id,
        token,
        successor,
        person,
        ..
    } = target;
    match use_case {
        "create token" => {
            let request = CreateToken {
                user_id: user_id.clone(),
                ..CreateToken::default()
            };
            app.create_token(caller, request).await.map(drop)
        }
        "update token" => app
            .update_token(caller, update(target, Some("x"), None))
            .await
            .map(drop),
        "disable token" => app
            .update_token(caller, update(target, None, Some(true)))
            .await
            .map(drop),
        "undo rotation" => app.undo_rotation(caller, &successor.id).await.map(drop),
        "rotate token" => {
            let request = RotateToken {
                token_id: successor.id.clone(),
                ..RotateToken::default()
            };
            app.rotate_token(caller, request).await.map(drop)
        }
        "delete token" => app.delete_token(caller, &token.id).await.map(drop),
        "revoke tokens" => {
            let request = RevokeTokens {
                filter: selection(target),
                ..RevokeTokens::default()
            };
            app.revoke_tokens(caller, request).await.map(drop)
        }
        "revoke named tokens" => {
            let request = RevokeTokens {
                tokens: vec![Secret::new(person.token.clone())],
                ..RevokeTokens::default()
            };
            app.revoke_tokens(caller, request).await.map(drop)
        }
        "revoke leaked" => {
            let found = TokenText::parse(&person.token).unwrap();
            let found = Ok(vec![PresentedToken::from(&found)]);
            app.revoke_leaked(caller, found, false).await.map(drop)
        }
        other => panic!("no use case {other}"),
    }
}

/// Use cases that change users.
async fn change_user(
    app: &App,
    use_case: &str,
    caller: &Caller,
    target: &Target,
) -> Result<(), Error> {
    let Target {
        user_id,
        name,
        person,
        ..
    } = target;
    match use_case {
        "describe user" => {
            let description = Some("seen".to_owned());
            let done = app.set_description(caller, user_id, description).await;
            done.map(drop)
        }
        "deactivate user" => app.deactivate_user(caller, user_id).await.map(drop),
        "reactivate user" => app.reactivate_user(caller, user_id).await.map(drop),
        "create person" => {
            let kind = NewUser::Person {
                password: long_password(),
            };
            let request = user(format!("{name}-new"), Role::Member, kind);
            app.create_user(caller, request).await.map(drop)
        }
        "create admin machine" => {
            let kind = NewUser::Machine { owner_id: None };
            let request = user(format!("{name}-bot"), Role::Admin, kind);
            app.create_user(caller, request).await.map(drop)
        }
        "set role" => {
            let done = app.set_role(caller, &person.id, Ok(Role::Admin)).await;
            done.map(drop)
        }
        "set owner" => app.set_owner(caller, user_id, &person.id).await.map(drop),
        "set password" => {
            let request = SetPassword {
                user_id: person.id.clone(),
                old: Secret::new(String::new()),
                new: long_password(),
                delete_tokens: true,
            };
            app.set_password(caller, request).await.map(drop)
        }
        "delete user" => app.delete_user(caller, user_id).await.map(drop),
        other => panic!("no use case {other}"),
    }
}

/// Use cases that change nothing.
async fn read(app: &App, use_case: &str, caller: &Caller, target: &Target) -> Result<(), Error> {
    let Target {
        user_id,
        name,
        token,
        ..
    } = target;
    match use_case {
        "get token" => app.get_token(caller, &token.id).await.map(drop),
        "explain token" => {
            let request = ExplainToken {
                token_id: &token.id,
                plaintext: None,
                required_scopes: &[],
                client_ip: "",
            };
            app.explain_token(caller, request).await.map(drop)
        }
        "list tokens" => {
            let request = ListTokens {
                user_id: user_id.clone(),
                ..ListTokens::default()
            };
            app.list_tokens(caller, request).await.map(drop)
        }
        "list all tokens" => {
            let all = ListAllTokens::default();
            app.list_all_tokens(caller, all).await.map(drop)
        }
        "count all tokens" => app
            .count_all_tokens(caller, selection(target))
            .await
            .map(drop),
        "get user" => app.get_user(caller, user_id).await.map(drop),
        "get user by name" => app.get_user_by_username(caller, name).await.map(drop),
        "list users" => {
            let request = ListUsers {
                page: PageRequest::default(),
                deactivated: Ok(None),
                kind: Ok(None),
            };
            app.list_users(caller, request).await.map(drop)
        }
        "list audit" => app
            .list_audit(caller, AuditSelection::default(), PageRequest::default())
            .await
            .map(drop),
        "stream audit" => app
            .stream_audit(caller, hallpass::app::audit_stream::StreamAudit::default())
            .await
            .map(drop),
        other => panic!("no use case {other}"),
    }
}
