//! Revokes many tokens: all that a filter selects, or those that the request names.

use crate::{
    domain::{secret::Secret, token::TokenState},
    store::tokens::{StateFilter, TokenFilter},
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::Caller,
        error::FieldError,
        page::{Cursor, PageRequest},
    },
    revocation::{Revocation, Run},
    revoke_named,
    selection::TokenSelection,
};

/// About how many tokens one call revokes.
const MAX_TOKENS: u32 = 10_000;

/// A request to revoke tokens.
#[derive(Clone, Debug, Default)]
pub struct RevokeTokens {
    /// Selects the tokens.
    pub filter: TokenSelection,
    /// IDs or plaintexts of the tokens to revoke, as far as the filter selects them; empty: all that the filter
    /// selects. A plaintext counts as the report of a leak, so its whole family is revoked.
    pub tokens: Vec<Secret>,
    /// Only reports what would be revoked.
    pub dry_run: bool,
    /// The page token of the previous call; empty: start at the beginning.
    pub page_token: String,
    /// About how many tokens to revoke before returning a page token, if less than the maximum per call.
    pub limit: Option<u32>,
}

impl App {
    /// Revokes the selected live tokens with their children, as [`App::delete_token`] does: when this returns, the
    /// revocations that it reports are durable, and no check of these tokens that starts later succeeds.
    ///
    /// It does a bounded part of the work and returns a page token for the rest. The caller's own token and its parent
    /// are spared, so that whoever cleans up after a leak is not locked out halfway.
    pub async fn revoke_tokens(
        &self,
        caller: &Caller,
        request: RevokeTokens,
    ) -> Result<Revocation, Error> {
        authz::may(caller, Action::RevokeTokens, Relation::OtherPerson)?;
        let filter = parse(&request)?;
        let query = request
            .filter
            .describe("hallpass.v1.AdminService/RevokeTokens")
            .field(&[u8::from(request.dry_run)]);
        let page = PageRequest {
            token: request.page_token.clone(),
            // Newest first, so that a selected child comes before its parent and counts as selected.
            reverse: true,
            ..PageRequest::default()
        };
        let cursor = Cursor::parse(&page, query, self.page_key())?;
        if !request.tokens.is_empty() && cursor.after.is_some() {
            return Err(FieldError::new("page_token", "must be empty where tokens is set").into());
        }
        if request.dry_run {
            self.record_search(caller, &filter).await?;
        } else {
            self.prepare_search(&filter).await?;
        }
        let run = Run {
            app: self.clone(),
            caller: caller.clone(),
            filter,
            is_dry: request.dry_run,
            is_named: !request.tokens.is_empty(),
            limit: request
                .limit
                .map_or(MAX_TOKENS, |limit| limit.min(MAX_TOKENS)),
            done: Revocation::default(),
        };
        let mut done = if request.tokens.is_empty() {
            run.selected(&cursor).await?
        } else {
            run.named(&request.tokens).await?
        };
        self.audited().await?;
        let users = done.first.iter().map(|token| token.user_id);
        // The tokens are revoked already, so the result must be returned even without the names.
        done.usernames = self.usernames(users).await.unwrap_or_default();
        Ok(done)
    }
}

/// The filter, restricted to tokens that have not expired. Refuses a request that selects nothing in particular.
fn parse(request: &RevokeTokens) -> Result<TokenFilter, Error> {
    let mut filter = request.filter.parse()?;
    filter.state = match filter.state {
        StateFilter::Is(TokenState::Expired) => {
            let problem = "must not be expired: such tokens are accepted no more";
            return Err(FieldError::new("filter.state", problem).into());
        }
        StateFilter::Any => StateFilter::Live,
        state => state,
    };
    if request.tokens.is_empty() && !request.filter.is_set() {
        let problem = "must select something besides a state, where no tokens are named";
        return Err(FieldError::new("filter", problem).into());
    }
    revoke_named::check(&request.tokens)?;
    Ok(filter)
}
