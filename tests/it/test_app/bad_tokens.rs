//! Tokens that are not valid, one of each kind.

use std::time::Duration;

use hallpass::domain::{
    id::TokenId,
    token_text::{TokenPrefix, TokenText},
};
use serde_json::json;

use super::TestApp;

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
