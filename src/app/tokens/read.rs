//! Getting and listing tokens.

use crate::{
    domain::{
        id::{TokenId, UserId},
        page::PageQuery,
        token::Token,
        user::Username,
    },
    store::{
        Tx,
        tokens::{self, Credential, TokenFilter},
    },
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::{Caller, CallerInTx},
        error::FieldError,
        page::{Cursor, Page, PageRequest},
        users,
    },
    TimeParts, find_target, parse_time, parse_token_id, relation_to,
};

/// Which tokens to list.
#[derive(Clone, Debug, Default)]
pub struct ListTokens {
    /// Which page.
    pub page: PageRequest,
    /// Whose; empty: the caller's.
    pub user_id: String,
    /// That expire before then; `None`: whenever they do.
    pub expiring_before: Option<TimeParts>,
}

/// A token, its user's name, and what the user is to the caller.
type Found = (Token, Option<Username>, Relation);

fn username_of(credential: &Credential) -> Option<Username> {
    let user = credential.user.as_ref();
    user.map(|user| user.username.clone())
}

impl App {
    /// Gets a token. What is deleted, not there, or not for the caller is not found, all alike.
    /// Its user's name comes with it, while there is one.
    pub async fn get_token(
        &self,
        caller: &Caller,
        token_id: &str,
    ) -> Result<(Token, Option<Username>), Error> {
        authz::admit(caller, Action::GetToken)?;
        let id = parse_token_id(token_id)?;
        let (token, username, relation) = match id.and_then(|id| self.find_in_memory(caller, id)) {
            Some(found) => found,
            None => self.find_in_store(caller, id).await?,
        };
        self.record_read(caller, Action::GetToken, relation, token.id)
            .await?;
        Ok((token, username))
    }

    /// A token that is in memory and for the caller, who is as it was when it was looked at. What is not for it
    /// takes the same way as what is not there.
    fn find_in_memory(&self, caller: &Caller, id: TokenId) -> Option<Found> {
        let caller = &caller.unchanged(&self.0.db, self.now())?.ok()?;
        let found = self.credential_in_memory(id)?;
        let relation = relation_to(caller, &found);
        let token = &found.lineage.token;
        let is_for_caller =
            token.delete_time.is_none() && authz::may(caller, Action::GetToken, relation).is_ok();
        is_for_caller.then(|| (token.clone(), username_of(&found), relation))
    }

    async fn find_in_store(&self, caller: &Caller, id: Option<TokenId>) -> Result<Found, Error> {
        let stamp = self.0.db.stamp();
        let (app, caller) = (self.clone(), caller.clone());
        let (found, relation) = self
            .look_up(move |tx| {
                let caller = caller.refresh_to_read(tx, &app.0.db, app.now())?;
                let (found, permit) = find_target(tx, &caller, Action::GetToken, id)?;
                Ok((found, permit.relation()))
            })
            .await?;
        let known = self.keep_credential(stamp, found);
        let credential = &known.credential;
        let (token, username) = (credential.lineage.token.clone(), username_of(credential));
        Ok((token, username, relation))
    }

    /// Lists a user's live tokens by (create time, ID), or those that expire before a time by (expire time, ID).
    pub async fn list_tokens(
        &self,
        caller: &Caller,
        request: ListTokens,
    ) -> Result<Page<Token>, Error> {
        authz::admit(caller, Action::ListTokens)?;
        let app = self.clone();
        let (page, user_id, relation) = self
            .read_as(caller, move |tx, caller| {
                let (user_id, relation) = whose(tx, caller, &request.user_id)?;
                let expiring_before = parse_time("expiring_before", request.expiring_before)?;
                let filter = TokenFilter {
                    expiring_before,
                    ..TokenFilter::live_of(user_id)
                };
                // Both what was asked and what it meant: the token is for this caller's list and no other's.
                let mut query = PageQuery::new("hallpass.v1.TokenService/ListTokens")
                    .field(request.user_id.as_bytes())
                    .field(user_id.encode().as_str().as_bytes());
                if let Some(time) = expiring_before {
                    query = query.field(&time.as_micros().to_be_bytes());
                }
                let cursor = Cursor::parse(&request.page, query, app.page_key())?;
                let (after, reverse, limit) = (cursor.after, cursor.reverse, cursor.limit());
                let found = tokens::search(tx, &filter, app.now(), after, reverse, limit)?;
                let page =
                    cursor.page(found.tokens, app.page_key(), |token| filter.position(token));
                Ok((page, user_id, relation))
            })
            .await?;
        self.record_read(caller, Action::ListTokens, relation, user_id)
            .await?;
        Ok(page)
    }
}

/// The user whose tokens are asked for, if the caller may list them. Another's and one that is not there are
/// answered alike.
fn whose(tx: &Tx<'_>, caller: &CallerInTx<'_>, user_id: &str) -> Result<(UserId, Relation), Error> {
    if user_id.is_empty() {
        let own = caller.user_id();
        let own = own.ok_or_else(|| FieldError::new("user_id", "is required"))?;
        caller.may(Action::ListTokens, Relation::Oneself)?;
        return Ok((own, Relation::Oneself));
    }
    let found = users::find_permitted(tx, caller, Action::ListTokens, user_id)?;
    let (user, permit) = found.or_denied(caller)?;
    Ok((user.id, permit.relation()))
}
