//! Getting and listing tokens.

use crate::{
    domain::{
        id::UserId,
        page::{PageQuery, Position},
        token::Token,
    },
    store::{tokens, users},
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::Caller,
        error::{Denied, FieldError, Noun},
        page::{Cursor, Page, PageRequest},
    },
    parse_token_id, relate,
};

/// Which tokens to list.
#[derive(Clone, Debug, Default)]
pub struct ListTokens {
    /// Which page.
    pub page: PageRequest,
    /// Whose; empty: the caller's.
    pub user_id: String,
}

impl App {
    /// Gets a token. What is deleted, not there, or not for the caller is not found, all alike.
    pub async fn get_token(&self, caller: &Caller, token_id: &str) -> Result<Token, Error> {
        authz::admit(caller, Action::GetToken)?;
        let id = parse_token_id(token_id)?.ok_or(Error::NotFound(Noun::Token))?;
        let found = self.credential_of(id).await?;
        let found = found.ok_or(Error::NotFound(Noun::Token))?;
        let token = found.lineage.token.clone();
        let user = || Ok(found.user.clone());
        let relation = relate(caller, Action::GetToken, &token, user)?;
        if token.delete_time.is_some() {
            return Err(Error::NotFound(Noun::Token));
        }
        self.record_read(caller, Action::GetToken, relation, token.id)
            .await?;
        Ok(token)
    }

    /// Lists a user's live tokens by (create time, ID).
    pub async fn list_tokens(
        &self,
        caller: &Caller,
        request: ListTokens,
    ) -> Result<Page<Token>, Error> {
        authz::admit(caller, Action::ListTokens)?;
        let (user_id, relation) = self.whose(caller, &request.user_id).await?;
        // Both what was asked and what it meant: the token is for this caller's list and no other's.
        let query = PageQuery::new("hallpass.v1.TokenService/ListTokens")
            .field(request.user_id.as_bytes())
            .field(user_id.encode().as_str().as_bytes());
        let cursor = Cursor::parse(&request.page, query, self.page_key())?;
        self.record_read(caller, Action::ListTokens, relation, user_id)
            .await?;

        let now = self.now();
        let (after, reverse, limit) = (cursor.after, cursor.reverse, cursor.limit());
        let items = self
            .read(move |tx| {
                let live = tokens::list_live(tx, user_id, now, after, reverse, limit)?;
                Ok::<_, Error>(live)
            })
            .await?;
        Ok(cursor.page(items, self.page_key(), |token| Position {
            major: token.create_time.as_micros(),
            minor: token.id.id().as_u128(),
        }))
    }

    /// The user whose tokens are asked for, if the caller may list them. Another's and one that is not
    /// there are answered alike.
    async fn whose(&self, caller: &Caller, user_id: &str) -> Result<(UserId, Relation), Error> {
        let own = caller.user_id();
        if user_id.is_empty() {
            let own = own.ok_or_else(|| FieldError::new("user_id", "is required"))?;
            return Ok((own, Relation::Oneself));
        }
        let Some(id) = UserId::parse(user_id) else {
            return Err(unknown_user(caller));
        };
        if own == Some(id) {
            return Ok((id, Relation::Oneself));
        }
        match self
            .read(move |tx| Ok::<_, Error>(users::find(tx, id)?))
            .await?
        {
            Some(user) => {
                let relation = Relation::to(caller, id, Some(&user));
                authz::may(caller, Action::ListTokens, relation)?;
                Ok((id, relation))
            }
            None => Err(unknown_user(caller)),
        }
    }
}

fn unknown_user(caller: &Caller) -> Error {
    if caller.acts_as_admin() {
        Error::NotFound(Noun::User)
    } else {
        Denied::Role.into()
    }
}
