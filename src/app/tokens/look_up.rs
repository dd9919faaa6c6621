//! What a person should know before deleting or rotating a token. This is a read like any other, so an admin who looks
//! at somebody else's token is audited.

use crate::{
    domain::{token::Token, user::Username},
    store::tokens,
};

use super::{
    super::{
        App, Error,
        authz::{self, Action},
        caller::Caller,
    },
    find_target, parse_token_id,
};

/// What would stop working with a token.
#[derive(Clone, Debug)]
pub struct TokenImpact {
    /// The token.
    pub token: Token,
    /// Its user's name; `None` if the user was deleted.
    pub username: Option<Username>,
    /// How many live tokens were created with it.
    pub live_children: u64,
}

impl App {
    /// Looks up a token and what would stop working with it.
    pub async fn look_up_token(
        &self,
        caller: &Caller,
        token_id: &str,
    ) -> Result<TokenImpact, Error> {
        authz::admit(caller, Action::GetToken)?;
        let id = parse_token_id(token_id)?;
        let now = self.now();
        let (impact, relation) = self
            .read_as(caller, move |tx, caller| {
                let (found, permit) = find_target(tx, caller, Action::GetToken, id)?;
                let token = found.lineage.token;
                let impact = TokenImpact {
                    live_children: tokens::count_live_children(tx, token.id, now)?,
                    username: found.user.map(|user| user.username),
                    token,
                };
                Ok((impact, permit.relation()))
            })
            .await?;
        self.record_read(caller, Action::GetToken, relation, impact.token.id)
            .await?;
        Ok(impact)
    }
}
