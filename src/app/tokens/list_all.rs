//! Lists and counts the tokens of all users.

use crate::{
    domain::token::Token,
    metrics::TokenCounts,
    store::{
        tokens::{self, TokenFilter},
        users,
    },
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        background::last_use::Flush,
        caller::Caller,
        error::Noun,
        page::{Cursor, Page, PageRequest},
        users::Usernames,
    },
    selection::TokenSelection,
};

/// Maximum number of reads per call. If a filter matches little, the page comes back short.
const MAX_READS: u32 = 20;

/// A request to list the tokens of all users.
#[derive(Clone, Debug, Default)]
pub struct ListAllTokens {
    /// The requested page.
    pub page: PageRequest,
    /// The filter.
    pub filter: TokenSelection,
}

impl App {
    /// Lists the tokens of all users, without revoked ones, by creation time, or by expiry time if the filter asks for
    /// tokens that expire soon. A page may be short without being the last.
    pub async fn list_all_tokens(
        &self,
        caller: &Caller,
        request: ListAllTokens,
    ) -> Result<(Page<Token>, Usernames), Error> {
        authz::may(caller, Action::ListAllTokens, Relation::OtherPerson)?;
        let filter = request.filter.parse()?;
        let query = request
            .filter
            .describe("hallpass.v1.AdminService/ListAllTokens");
        let cursor = Cursor::parse(&request.page, query, self.page_key())?;
        self.record_search(caller, &filter).await?;

        let (now, reverse) = (self.now(), cursor.reverse);
        let (mut items, mut next, mut wanted) = (Vec::new(), cursor.after, cursor.limit());
        for _ in 0..MAX_READS {
            let (filter, after) = (filter.clone(), next);
            let found = self
                .read_as(caller, move |tx, caller| {
                    caller.may(Action::ListAllTokens, Relation::OtherPerson)?;
                    let found = tokens::search(tx, &filter, now, after, reverse, wanted)?;
                    Ok::<_, Error>(found)
                })
                .await?;
            wanted = wanted.saturating_sub(u32::try_from(found.tokens.len()).unwrap_or(u32::MAX));
            items.extend(found.tokens);
            next = found.next;
            if next.is_none() || wanted == 0 {
                break;
            }
        }
        let usernames = self
            .usernames(items.iter().map(|token| token.user_id))
            .await?;
        let page = cursor.page_until(items, next, self.page_key(), |token| filter.position(token));
        Ok((page, usernames))
    }

    /// Counts by state what [`App::list_all_tokens`] would list. It counts in chunks, each in its own transaction.
    pub async fn count_all_tokens(
        &self,
        caller: &Caller,
        filter: TokenSelection,
    ) -> Result<TokenCounts, Error> {
        authz::may(caller, Action::ListAllTokens, Relation::OtherPerson)?;
        let filter = filter.parse()?;
        self.record_search(caller, &filter).await?;
        self.count_tokens(caller, Action::ListAllTokens, filter)
            .await
    }

    /// The same for any admin-only `action`, without an audit row.
    pub(in crate::app) async fn count_tokens(
        &self,
        caller: &Caller,
        action: Action,
        filter: TokenFilter,
    ) -> Result<TokenCounts, Error> {
        let (now, mut counts, mut after) = (self.now(), TokenCounts::default(), None);
        loop {
            let filter = filter.clone();
            let (part, next) = self
                .read_as(caller, move |tx, caller| {
                    caller.may(action, Relation::OtherPerson)?;
                    Ok(tokens::count(tx, &filter, now, after)?)
                })
                .await?;
            counts = counts.plus(part);
            if next.is_none() {
                return Ok(counts);
            }
            after = next;
        }
    }

    /// Prepares a search. It checks that the filter's user exists, because a typo would otherwise look like a user
    /// without tokens, and writes the last uses in memory if the filter is for unused tokens.
    pub(super) async fn prepare_search(&self, filter: &TokenFilter) -> Result<(), Error> {
        if filter.unused_since.is_some() {
            self.flush_uses(Flush::Now).await?;
        }
        let Some(id) = filter.user else { return Ok(()) };
        let user = self.read(move |tx| Ok(users::find(tx, id)?)).await?;
        user.map(drop).ok_or(Error::NotFound(Noun::User))
    }

    /// The same, and audits the search.
    pub(super) async fn record_search(
        &self,
        caller: &Caller,
        filter: &TokenFilter,
    ) -> Result<(), Error> {
        self.prepare_search(filter).await?;
        let user = filter.user.map(|id| id.to_string()).unwrap_or_default();
        self.record_read(caller, Action::ListAllTokens, Relation::OtherPerson, user)
            .await
    }
}
