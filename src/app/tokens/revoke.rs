//! Revokes many tokens. The reader threads search for the selected tokens, a bounded part of the table at a time, and
//! bounded transactions delete them, so that no other writer waits for long. If the client goes away, it stops between
//! two transactions, and a later call can go on.

use std::time::Duration;

use tokio::time::{self, Instant};

use crate::{
    domain::{
        id::TokenId,
        secret::Secret,
        token::{LastUse, Token, TokenState},
    },
    store::{
        Tx,
        tokens::{self, StateFilter, TokenFilter},
    },
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::Caller,
        error::FieldError,
        page::{Cursor, PageRequest},
        users::Usernames,
    },
    CHUNK, PAUSE,
    delete::delete_with_children,
    own,
    revoke_named::{self, TokenOutcome},
    selection::TokenSelection,
};

/// About how many tokens one call deletes.
const MAX_TOKENS: u32 = 10_000;
/// How long one call works before it returns a page token: well within a request's deadline.
const MAX_TIME: Duration = Duration::from_secs(4);
/// How many tokens are returned as a sample.
const FIRST: usize = 10;

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

/// What was revoked, or would be in a dry run.
#[derive(Clone, Debug, Default)]
pub struct Revocation {
    /// How many of the selected tokens were revoked; in a dry run, how many were selected.
    pub tokens: u32,
    /// How many others were revoked because they were created with a revoked token. Always 0 in a dry run.
    pub children: u32,
    /// How many others were revoked because they are of the family of a token named by plaintext. Always 0 in a dry
    /// run.
    pub family: u32,
    /// The latest use of any selected token.
    pub last_use: Option<LastUse>,
    /// The first few selected tokens.
    pub first: Vec<Token>,
    /// The outcome for each named token, in the order of the request, with its ID if it has one.
    pub outcomes: Vec<(Option<TokenId>, TokenOutcome)>,
    /// Whether the caller's own token or its parent was selected and therefore spared.
    pub spared_own: bool,
    /// The page token for the next call; empty: all is done.
    pub next_page_token: String,
    /// The usernames for the tokens in `first`.
    pub usernames: Usernames,
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

/// The state of one call.
pub(super) struct Run {
    pub(super) app: App,
    pub(super) caller: Caller,
    pub(super) filter: TokenFilter,
    pub(super) is_dry: bool,
    /// Whether the request names the tokens.
    is_named: bool,
    limit: u32,
    pub(super) done: Revocation,
}

impl Run {
    /// Revokes what the filter selects, starting where the previous call stopped.
    async fn selected(mut self, cursor: &Cursor) -> Result<Revocation, Error> {
        let begun = Instant::now();
        let mut place = cursor.after;
        self.done.spared_own = self.selects_own().await?;
        self.filter.except = own(&self.caller);
        loop {
            let (filter, now, after) = (self.filter.clone(), self.app.now(), place);
            let found = self
                .app
                .read_as(&self.caller, move |tx, caller| {
                    caller.may(Action::RevokeTokens, Relation::OtherPerson)?;
                    let found = tokens::search(tx, &filter, now, after, true, CHUNK)?;
                    Ok::<_, Error>(found)
                })
                .await?;
            self.take(found.tokens).await?;
            place = found.next;
            let is_enough = !self.is_dry && self.done.tokens >= self.limit;
            if place.is_none() || is_enough || begun.elapsed() >= MAX_TIME {
                break;
            }
        }
        let key = self.app.page_key();
        let next = place.map(|place| cursor.token_after(place, key));
        self.done.next_page_token = next.unwrap_or_default();
        Ok(self.done)
    }

    async fn selects_own(&self) -> Result<bool, Error> {
        let (filter, now, own) = (self.filter.clone(), self.app.now(), own(&self.caller));
        self.app
            .read_as(&self.caller, move |tx, caller| {
                caller.may(Action::RevokeTokens, Relation::OtherPerson)?;
                for id in own {
                    if tokens::find_selected(tx, &filter, now, id)?.is_some() {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .await
    }

    /// Revokes `tokens`, or only counts them in a dry run.
    pub(super) async fn take(&mut self, tokens: Vec<Token>) -> Result<(), Error> {
        let uses = tokens.iter().filter_map(|token| token.last_use);
        let uses = uses.chain(self.done.last_use.take());
        self.done.last_use = uses.max_by_key(|last| last.time);
        let room = FIRST.saturating_sub(self.done.first.len());
        self.done.first.extend(tokens.iter().take(room).cloned());
        if self.is_dry {
            self.done.tokens += u32::try_from(tokens.len()).unwrap_or(u32::MAX);
            let children = self.count_children(tokens).await?;
            self.done.children = self.done.children.saturating_add(children);
            return Ok(());
        }
        self.delete(tokens.iter().map(|token| token.id).collect())
            .await
    }

    /// Counts the live children of `tokens` that are not selected themselves.
    async fn count_children(&self, tokens: Vec<Token>) -> Result<u32, Error> {
        let (filter, is_named, now) = (self.filter.clone(), self.is_named, self.app.now());
        let count = self
            .app
            .read_as(&self.caller, move |tx, caller| {
                caller.may(Action::RevokeTokens, Relation::OtherPerson)?;
                let mut count = 0_u64;
                for token in &tokens {
                    let children = tokens::count_live_children(tx, token.id, now)?;
                    let selected = if children == 0 {
                        0
                    } else if is_named {
                        let named = tokens.iter().map(|token| token.parent_id);
                        named.fold(0, |sum, parent| sum + u64::from(parent == Some(token.id)))
                    } else {
                        let filter = TokenFilter {
                            parent: Some(token.id),
                            ..filter.clone()
                        };
                        let (selected, _) = tokens::count(tx, &filter, now, None)?;
                        selected.active + selected.disabled
                    };
                    count += children.saturating_sub(selected);
                }
                Ok::<_, Error>(count)
            })
            .await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Deletes the tokens in `rest` that the filter still selects.
    async fn delete(&mut self, mut rest: Vec<TokenId>) -> Result<(), Error> {
        while !rest.is_empty() {
            let (app, caller) = (self.app.clone(), self.caller.clone());
            let (filter, ids) = (self.filter.clone(), rest.clone());
            let chunk = self
                .app
                .revoke(move |tx| revoke(tx, &app, &caller, filter.clone(), &ids))
                .await?;
            rest.drain(..chunk.seen);
            self.done.tokens += chunk.tokens;
            self.done.children = self.done.children.saturating_add(chunk.children);
            if chunk.is_full() {
                time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}

/// The result of one transaction.
#[derive(Default)]
struct Chunk {
    /// How many of the given tokens it processed.
    seen: usize,
    tokens: u32,
    children: u32,
}

impl Chunk {
    const fn is_full(&self) -> bool {
        self.tokens.saturating_add(self.children) >= CHUNK
    }
}

/// Revokes the tokens in `ids` that the filter still selects, up to the size of a transaction.
fn revoke(
    tx: &Tx<'_>,
    app: &App,
    caller: &Caller,
    mut filter: TokenFilter,
    ids: &[TokenId],
) -> Result<Chunk, Error> {
    let now = app.now();
    let caller = caller.refresh(tx, now)?;
    let permit = caller.may(Action::RevokeTokens, Relation::OtherPerson)?;
    // A rotation may have given the caller's token another parent meanwhile.
    filter.except = own(&caller);
    let mut chunk = Chunk::default();
    for id in ids {
        chunk.seen += 1;
        if tokens::find_selected(tx, &filter, now, *id)?.is_none() {
            continue;
        }
        if let Some(children) = delete_with_children(tx, &permit, *id, now)? {
            chunk.tokens += 1;
            chunk.children = chunk.children.saturating_add(children);
        }
        if chunk.is_full() {
            break;
        }
    }
    Ok(chunk)
}
