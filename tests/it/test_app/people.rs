//! Users and tokens, created through the API, and one token of each kind that is not valid.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use hallpass::domain::{
    id::TokenId,
    token_text::{TokenPrefix, TokenText},
};
use serde_json::{Value, json};

use super::TestApp;

pub(crate) const ADMIN_PASSWORD: &str = "vexed marmots juggle quince";

/// A person with an unrestricted token.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) token: String,
}

/// A machine with an unrestricted token.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// A newly created token.
#[derive(Clone, Debug)]
pub(crate) struct NewToken {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) metadata: Value,
}

impl Person {
    pub(super) fn first_admin() -> Self {
        Self {
            id: String::new(),
            name: "admin".to_owned(),
            password: ADMIN_PASSWORD.to_owned(),
            token: String::new(),
        }
    }
}

impl NewToken {
    pub(crate) fn read(created: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            id: text(&created["metadata"]["id"]),
            text: text(&created["token"]),
            metadata: created["metadata"].clone(),
        }
    }

    pub(crate) fn as_leaked(&self) -> Value {
        leaked(&self.text)
    }
}

/// A finding for `RevokeLeakedTokens`: ID and hash of a plaintext.
pub(crate) fn leaked(text: &str) -> Value {
    let text = TokenText::parse(text).unwrap();
    let hash = STANDARD.encode(text.hash().as_bytes());
    json!({ "tokenId": text.id().to_string(), "plaintextSha256": hash })
}

pub(crate) fn password_of(name: &str) -> String {
    format!("seven drowsy lanterns hum for {name}")
}

impl TestApp {
    /// Creates a member.
    pub(crate) async fn person(&self, name: &str) -> Person {
        self.create_person(name, "SERVER_ROLE_MEMBER").await
    }

    /// Creates a second admin.
    pub(crate) async fn further_admin(&self, name: &str) -> Person {
        self.create_person(name, "SERVER_ROLE_ADMIN").await
    }

    async fn create_person(&self, name: &str, role: &str) -> Person {
        let password = password_of(name);
        let message = json!({ "username": name, "password": password, "role": role });
        let created = self.call(&self.admin.token, "UserService/CreateUser", message);
        let id = created.await.ok()["user"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let mut person = Person {
            id,
            name: name.to_owned(),
            password,
            token: String::new(),
        };
        person.token = self.sign_in(&person, json!({})).await.text;
        person
    }

    /// Creates a machine of `owner` with a token without a parent.
    pub(crate) async fn machine(&self, owner: &Person, name: &str) -> Machine {
        let role = "SERVER_ROLE_MEMBER";
        self.machine_with_role(owner, name, role).await
    }

    pub(crate) async fn machine_with_role(
        &self,
        owner: &Person,
        name: &str,
        role: &str,
    ) -> Machine {
        let message = json!({ "username": name, "userType": "USER_TYPE_MACHINE", "role": role });
        let created = self.call(&owner.token, "UserService/CreateUser", message);
        let id = created.await.ok()["user"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let token = self.sign_in(owner, json!({ "userId": id })).await.text;
        Machine { id, token }
    }

    /// Creates a token with a password, so that it has no parent.
    pub(crate) async fn sign_in(&self, person: &Person, fields: Value) -> NewToken {
        let mut message = json!({ "username": person.name, "password": person.password });
        if let Value::Object(fields) = fields {
            message.as_object_mut().unwrap().extend(fields);
        }
        self.create(message, "").await
    }

    /// Creates a token with a token, which becomes its parent.
    pub(crate) async fn child(&self, parent: &str, fields: Value) -> NewToken {
        self.create(fields, parent).await
    }

    async fn create(&self, message: Value, token: &str) -> NewToken {
        let created = self.call(token, "TokenService/CreateToken", message);
        NewToken::read(&created.await.ok())
    }
}

/// A token that is not valid.
#[derive(Clone, Debug)]
pub(crate) struct BadToken {
    pub(crate) text: String,
    /// The reason of `VerifyToken`.
    pub(crate) reason: &'static str,
    /// The message for a holder of the full secret.
    pub(crate) told: &'static str,
}

impl TestApp {
    /// One token of each kind. Advances the clock by an hour, and deactivates a user
    /// `dora`.
    pub(crate) async fn bad_tokens(&self) -> Vec<BadToken> {
        let alice = self.person("alice").await;
        let dora = self.person("dora").await;
        let expires = json!({ "expireTime": self.clock.after(Duration::from_hours(1)) });
        let expired = self.sign_in(&alice, expires).await;
        let deleted = self.sign_in(&alice, json!({})).await;
        let disabled = self.sign_in(&alice, json!({})).await;
        let parent = self.sign_in(&alice, json!({})).await;
        let child = self.child(&parent.text, json!({})).await;
        let elsewhere = json!({ "allowedCidrs": ["10.0.0.0/8"] });
        let elsewhere = self.sign_in(&alice, elsewhere).await;
        for (procedure, message) in [
            ("TokenService/DeleteToken", json!({ "tokenId": deleted.id })),
            ("UserService/DeactivateUser", json!({ "id": dora.id })),
        ] {
            self.call(&self.admin.token, procedure, message).await.ok();
        }
        let disable = "UPDATE tokens SET disabled = 1 WHERE id IN (?1, ?2)";
        let disable = self.sql().execute(disable, [&disabled.id, &parent.id]);
        assert_eq!(disable.unwrap(), 2);
        self.clock.advance(Duration::from_hours(1));

        let generate = |id| TokenText::generate(&TokenPrefix::default(), id);
        let unknown = generate(TokenId::generate(super::START));
        let id = TokenId::parse(&alice.token["hallpass_".len()..][..22]).unwrap();
        let wrong_secret = generate(id);
        let mut flipped = alice.token.clone();
        let last = flipped.pop().unwrap();
        flipped.push(if last == '0' { '1' } else { '0' });

        let invalid = "the token is invalid";
        let parents = "the token that this one was made with is no longer valid";
        #[rustfmt::skip]
        let all = [
            ("nonsense", "CREDENTIALS_INVALID", invalid),
            (&flipped, "CREDENTIALS_INVALID", invalid),
            (unknown.expose(), "CREDENTIALS_INVALID", invalid),
            (wrong_secret.expose(), "CREDENTIALS_INVALID", invalid),
            (&expired.text, "TOKEN_EXPIRED", "the token has expired"),
            (&deleted.text, "TOKEN_DELETED", "the token was revoked"),
            (&disabled.text, "TOKEN_DISABLED", "the token is disabled"),
            (&dora.token, "USER_DEACTIVATED", "the token's user is deactivated"),
            (&child.text, "PARENT_INVALID", parents),
            (&elsewhere.text, "ADDRESS_NOT_ALLOWED", "the token may not be used from this address"),
        ];
        let all = all.map(|(text, reason, told)| BadToken {
            text: text.to_owned(),
            reason,
            told,
        });
        all.into()
    }
}

/// The public ID in the text of a token.
pub(crate) fn id_of(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}
