//! Gets and lists tokens.

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
        caller::Caller,
        error::FieldError,
        page::{Cursor, Page, PageRequest},
        permit::CallerInTx,
        users,
    },
    TimeParts, find_target, parse_time, parse_token_id, relation_to,
};

/// A request to list a user's tokens.
#[derive(Clone, Debug, Default)]
pub struct ListTokens {
    /// The requested page.
    pub page: PageRequest,
    /// The user's ID; empty: the caller.
    pub user_id: String,
    /// Only tokens that expire before this time; `None`: all.
    pub expiring_before: Option<TimeParts>,
    /// Ended tokens too.
    pub include_ended: bool,
}

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

/// A token, its user's name, and the user's relation to the caller.
type Found = (Token, Option<Username>, Relation);

fn username_of(credential: &Credential) -> Option<Username> {
    let user = credential.user.as_ref();
    user.map(|user| user.username.clone())
}

impl App {
    /// Gets a token and its user's name. A token that is revoked, missing or not for the caller is not found, and the
    /// error does not tell which.
    pub async fn get_token(
        &self,
        caller: &Caller,
        token_id: &str,
    ) -> Result<(Token, Option<Username>), Error> {
        authz::admit(caller, Action::GetToken)?;
        let id = parse_token_id(token_id)?;
        let (token, username, relation) = match id.and_then(|id| self.find_in_cache(caller, id)) {
            Some(found) => found,
            None => self.find_in_store(caller, id).await?,
        };
        self.record_read(caller, Action::GetToken, relation, token.id)
            .await?;
        Ok((token, username))
    }

    /// The token from the credential cache, if the caller may read it and the caller's own credential is unchanged. A
    /// token that the caller may not read goes to the store like one that is not cached.
    fn find_in_cache(&self, caller: &Caller, id: TokenId) -> Option<Found> {
        let caller = &caller.unchanged(&self.0.db, self.now()).ok()??;
        let found = self.cached_credential(id)?;
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
                let caller = caller.refresh(tx, app.now())?;
                let (found, permit) = find_target(tx, &caller, Action::GetToken, id)?;
                Ok((found, permit.relation()))
            })
            .await?;
        let known = self.cache_credential(stamp, found);
        let credential = &known.credential;
        let (token, username) = (credential.lineage.token.clone(), username_of(credential));
        Ok((token, username, relation))
    }

    /// Looks up a token and what would stop working with it, for a person who is about to revoke or rotate it.
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

    /// Lists a user's live tokens, or all of them, by (create time, ID), or those that expire before a given time by
    /// (expire time, ID).
    pub async fn list_tokens(
        &self,
        caller: &Caller,
        request: ListTokens,
    ) -> Result<Page<Token>, Error> {
        authz::admit(caller, Action::ListTokens)?;
        let app = self.clone();
        let (page, user_id, relation) = self
            .read_as(caller, move |tx, caller| {
                let (user_id, relation) = requested_user(tx, caller, &request.user_id)?;
                let expiring_before = parse_time("expiring_before", request.expiring_before)?;
                if request.include_ended && expiring_before.is_some() {
                    let error = "cannot be combined with expiring_before";
                    return Err(FieldError::new("include_ended", error).into());
                }
                let filter = TokenFilter {
                    expiring_before,
                    ..TokenFilter::live_of(user_id)
                };
                // The query has the user ID as requested and as resolved, so that an empty one binds the page token to
                // this caller.
                let mut query = PageQuery::new("hallpass.v1.TokenService/ListTokens")
                    .field(request.user_id.as_bytes())
                    .field(user_id.encode().as_str().as_bytes());
                if let Some(time) = expiring_before {
                    query = query.field(&time.as_micros().to_be_bytes());
                }
                if request.include_ended {
                    query = query.field(b"include_ended");
                }
                let cursor = Cursor::parse(&request.page, query, app.page_key())?;
                let (after, reverse, limit) = (cursor.after, cursor.reverse, cursor.limit());
                let found = if request.include_ended {
                    tokens::list_with_ended(tx, user_id, after, reverse, limit)?
                } else {
                    tokens::search(tx, &filter, app.now(), after, reverse, limit)?.tokens
                };
                let page = cursor.page(found, app.page_key(), |token| filter.position(token));
                Ok((page, user_id, relation))
            })
            .await?;
        self.record_read(caller, Action::ListTokens, relation, user_id)
            .await?;
        Ok(page)
    }
}

/// The user whose tokens are requested, if the caller may list them. For any other, the error does not tell whether
/// the user exists, except to admins.
fn requested_user(
    tx: &Tx<'_>,
    caller: &CallerInTx<'_>,
    user_id: &str,
) -> Result<(UserId, Relation), Error> {
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
