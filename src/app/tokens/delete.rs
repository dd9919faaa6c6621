//! Deleting a token.

use crate::store::{audit, tokens, users};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::Caller,
        error::Noun,
    },
    parse_token_id,
};

impl App {
    /// Deletes a token and its live children, and says how many these were. A repeat by one who may delete
    /// the token changes nothing and is well.
    ///
    /// When this returns, the deletion is durable, and no check that starts later succeeds.
    pub async fn delete_token(&self, caller: &Caller, token_id: &str) -> Result<u32, Error> {
        let itself = caller
            .token()
            .is_some_and(|token| token.id.encode().as_str() == token_id);
        if !itself {
            authz::admit(caller, Action::DeleteToken)?;
        }
        let id = parse_token_id(token_id)?.ok_or(Error::NotFound(Noun::Token))?;
        let now = self.now();
        let caller = caller.clone();
        self.write(move |tx| {
            let caller = caller.refresh(tx, now)?;
            let token = tokens::find(tx, id)?.ok_or(Error::NotFound(Noun::Token))?;
            if !itself {
                let user = users::find(tx, token.user_id)?;
                let relation = Relation::to(&caller, token.user_id, user.as_ref());
                authz::may(&caller, Action::DeleteToken, relation)
                    .map_err(|_| Error::NotFound(Noun::Token))?;
            }
            if !tokens::mark_deleted(tx, id, now)? {
                return Ok(0);
            }
            let children = tokens::delete_live_children(tx, id, now)?;
            audit::append(tx, caller.event(now, Action::DeleteToken.audit(), id))?;
            let children = u32::try_from(children).unwrap_or(u32::MAX);
            if children > 0 {
                let mut event = caller.event(now, "token.delete_children", id);
                event.count = children;
                audit::append(tx, event)?;
            }
            Ok(children)
        })
        .await
    }
}
