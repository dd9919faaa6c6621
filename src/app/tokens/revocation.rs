//! One call that revokes many tokens. The reader threads search for the selected tokens, a bounded part of the table at
//! a time, and bounded transactions revoke them, so that no other writer waits for long. If the client goes away, it
//! stops between two transactions, and a later call can go on.

use std::time::Duration;

use tokio::time::{self, Instant};

use crate::{
    domain::{
        id::TokenId,
        token::{LastUse, Token},
    },
    store::{
        Tx,
        tokens::{self, TokenFilter},
    },
};

use super::{
    super::{
        App, Error,
        authz::{Action, Relation},
        caller::Caller,
        page::Cursor,
        users::Usernames,
    },
    CHUNK, PAUSE,
    delete::revoke_with_children,
    own_and_parent,
};

/// How long one call works before it returns a page token: well within a request's deadline.
const MAX_TIME: Duration = Duration::from_secs(4);
/// How many tokens are returned as a sample.
const SAMPLE_SIZE: usize = 10;

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

/// The outcome for a named token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOutcome {
    /// It is revoked, or would be in a dry run.
    Revoked,
    /// It was already revoked or expired.
    NotLive,
    /// No token has this ID.
    NotOurs,
    /// A token has this ID, but another secret.
    OtherSecret,
    /// It is neither an ID nor a plaintext.
    Malformed,
    /// The filter does not select it.
    NotSelected,
    /// It is the caller's own token or its parent.
    Spared,
}

/// The state of one call.
pub(super) struct Run {
    pub(super) app: App,
    pub(super) caller: Caller,
    pub(super) filter: TokenFilter,
    pub(super) is_dry: bool,
    /// Whether the request names the tokens.
    pub(super) is_named: bool,
    pub(super) limit: u32,
    pub(super) done: Revocation,
}

impl Run {
    /// Revokes what the filter selects, starting where the previous call stopped.
    pub(super) async fn selected(mut self, cursor: &Cursor) -> Result<Revocation, Error> {
        let begun = Instant::now();
        let mut next = cursor.after;
        self.done.spared_own = self.selects_own().await?;
        self.filter.except = own_and_parent(&self.caller);
        loop {
            let (filter, now, after) = (self.filter.clone(), self.app.now(), next);
            let found = self
                .app
                .read_as(&self.caller, move |tx, caller| {
                    caller.may(Action::RevokeTokens, Relation::OtherPerson)?;
                    let found = tokens::search(tx, &filter, now, after, true, CHUNK)?;
                    Ok::<_, Error>(found)
                })
                .await?;
            self.take(found.tokens).await?;
            next = found.next;
            let is_enough = !self.is_dry && self.done.tokens >= self.limit;
            if next.is_none() || is_enough || begun.elapsed() >= MAX_TIME {
                break;
            }
        }
        let key = self.app.page_key();
        let next = next.map(|next| cursor.token_after(next, key));
        self.done.next_page_token = next.unwrap_or_default();
        Ok(self.done)
    }

    async fn selects_own(&self) -> Result<bool, Error> {
        let (filter, now, own) = (
            self.filter.clone(),
            self.app.now(),
            own_and_parent(&self.caller),
        );
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
        let left = SAMPLE_SIZE.saturating_sub(self.done.first.len());
        self.done.first.extend(tokens.iter().take(left).cloned());
        if self.is_dry {
            self.done.tokens += u32::try_from(tokens.len()).unwrap_or(u32::MAX);
            let children = self.count_children(tokens).await?;
            self.done.children = self.done.children.saturating_add(children);
            return Ok(());
        }
        self.revoke(tokens.iter().map(|token| token.id).collect())
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

    /// Revokes the tokens in `rest` that the filter still selects.
    async fn revoke(&mut self, mut rest: Vec<TokenId>) -> Result<(), Error> {
        while !rest.is_empty() {
            let (app, caller) = (self.app.clone(), self.caller.clone());
            let (filter, ids) = (self.filter.clone(), rest.clone());
            let chunk = self
                .app
                .revoke_part(move |tx| revoke(tx, &app, &caller, filter.clone(), &ids))
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
    filter.except = own_and_parent(&caller);
    let mut chunk = Chunk::default();
    for id in ids {
        chunk.seen += 1;
        if tokens::find_selected(tx, &filter, now, *id)?.is_none() {
            continue;
        }
        if let Some(children) = revoke_with_children(tx, &permit, *id, now)? {
            chunk.tokens += 1;
            chunk.children = chunk.children.saturating_add(children);
        }
        if chunk.is_full() {
            break;
        }
    }
    Ok(chunk)
}
