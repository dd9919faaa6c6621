//! Revoking many tokens: what is selected is looked for on the readers, a bounded part of the table at a
//! time, and deleted in transactions of bounded size, so that no other writer waits for long. Who goes away
//! stops it between two transactions, and may come again.

mod named;

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
    selection::TokenSelection,
};

pub use named::Outcome;

/// So many tokens one call deletes.
const MAX_TOKENS: u32 = 10_000;
/// So long one call works before it says where to go on: well within the time that a request has.
const MAX_TIME: Duration = Duration::from_secs(4);
/// So many tokens are told of, as a sample.
const FIRST: usize = 10;

/// Which tokens to revoke.
#[derive(Clone, Debug, Default)]
pub struct RevokeTokens {
    /// Those that this selects.
    pub filter: TokenSelection,
    /// These, by ID or plaintext, where the filter selects them. None: all that the filter selects. A plaintext is
    /// the report of a leak, and ends its whole family.
    pub tokens: Vec<Secret>,
    /// Whether only to tell what would be done.
    pub dry_run: bool,
    /// Where the call before has stopped; empty: at the beginning.
    pub page_token: String,
    /// After about how many tokens to say where to go on, where that is sooner than a call has to.
    pub limit: Option<u32>,
}

/// What was revoked, or would be.
#[derive(Clone, Debug, Default)]
pub struct Revocation {
    /// How many tokens were selected.
    pub tokens: u32,
    /// How many were made with those, or with what went with them, and went, too. A dry run does not tell.
    pub children: u32,
    /// How many others of their families went with those that were named by plaintext. A dry run does not tell.
    pub family: u32,
    /// The latest use of those selected.
    pub last_use: Option<LastUse>,
    /// The first few of those selected.
    pub first: Vec<Token>,
    /// What became of each token that was named, with its ID where it has one, in order.
    pub outcomes: Vec<(Option<TokenId>, Outcome)>,
    /// Whether the caller's own token, or its parent, was selected, and spared.
    pub spared_own: bool,
    /// Where to go on; empty: it is done.
    pub next_page_token: String,
    /// The names of the users of the first few.
    pub usernames: Usernames,
}

impl App {
    /// Revokes the live tokens that are selected, with their children, as [`App::delete_token`] does: when
    /// this returns, what it tells is durable, and no check that starts later succeeds.
    ///
    /// It does a bounded part of the work; the answer says where to go on. The caller's own token and its
    /// parent are spared: after a leak, who cleans up must not be locked out half-way.
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
            // The newest first: a child comes before its parent, and is counted for itself.
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
        // What is revoked is to be told of, with names or without.
        done.usernames = self.usernames(users).await.unwrap_or_default();
        Ok(done)
    }
}

/// The filter, which is for what is not expired, if the request selects anything at all.
fn parse(request: &RevokeTokens) -> Result<TokenFilter, Error> {
    let mut filter = request.filter.parse()?;
    filter.state = match filter.state {
        StateFilter::Is(TokenState::Expired) => {
            let problem = "must not be expired: such tokens are accepted no more";
            return Err(FieldError::new("filter.state", problem).into());
        }
        StateFilter::Any => StateFilter::NotExpired,
        state => state,
    };
    if request.tokens.is_empty() && !request.filter.is_set() {
        let problem = "must select something besides a state, where no tokens are named";
        return Err(FieldError::new("filter", problem).into());
    }
    named::check(&request.tokens)?;
    Ok(filter)
}

/// One call.
struct Run {
    app: App,
    caller: Caller,
    filter: TokenFilter,
    is_dry: bool,
    limit: u32,
    done: Revocation,
}

impl Run {
    /// What the filter selects, from where the call before has stopped.
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

    /// Revokes `tokens`, or only counts them.
    async fn take(&mut self, tokens: Vec<Token>) -> Result<(), Error> {
        let uses = tokens.iter().filter_map(|token| token.last_use);
        let uses = uses.chain(self.done.last_use.take());
        self.done.last_use = uses.max_by_key(|last| last.time);
        let room = FIRST.saturating_sub(self.done.first.len());
        self.done.first.extend(tokens.iter().take(room).cloned());
        if self.is_dry {
            self.done.tokens += u32::try_from(tokens.len()).unwrap_or(u32::MAX);
            return Ok(());
        }
        self.delete(tokens.iter().map(|token| token.id).collect())
            .await
    }

    /// Deletes those of `rest` that are still selected.
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

/// What one transaction did.
#[derive(Default)]
struct Chunk {
    /// How many of the given tokens it came to.
    seen: usize,
    tokens: u32,
    children: u32,
}

impl Chunk {
    const fn is_full(&self) -> bool {
        self.tokens.saturating_add(self.children) >= CHUNK
    }
}

/// Revokes those of `ids` that are still selected, as many as a transaction may.
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
    // A rotation may have given it another parent.
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
