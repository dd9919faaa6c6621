//! The filter of a token search, as SQL conditions.

use crate::{
    domain::{
        id::{Id, TokenId, UserId},
        page::Position,
        time::Timestamp,
        token::{Token, TokenState},
    },
    store::conditions::Conditions,
};

/// Selects tokens that are not deleted. A token must satisfy every field that is set.
#[derive(Clone, Debug, Default)]
pub struct TokenFilter {
    /// Tokens of this user.
    pub user: Option<UserId>,
    /// Tokens of the family whose first token this is.
    pub family: Option<TokenId>,
    /// Tokens created with this token.
    pub parent: Option<TokenId>,
    /// The earliest create time, inclusive.
    pub created_from: Option<Timestamp>,
    /// The latest create time, exclusive.
    pub created_before: Option<Timestamp>,
    /// Tokens created before this time and not used since.
    pub unused_since: Option<Timestamp>,
    /// Tokens that expire before this time.
    pub expires_before: Option<Timestamp>,
    /// Tokens that have not expired but will before this time, ordered by expiry.
    pub expiring_before: Option<Timestamp>,
    /// Tokens that never expire.
    pub never_expires: bool,
    /// Tokens with this scope.
    pub scope: Option<String>,
    /// Tokens in this state.
    pub state: StateFilter,
    /// Tokens to leave out.
    pub except: Vec<TokenId>,
}

/// Selects by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateFilter {
    /// Any state.
    #[default]
    Any,
    /// This state.
    Is(TokenState),
    /// Active or disabled.
    Live,
}

/// Whether a live token expires. The two kinds are separate ranges of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// It never expires.
    Endless,
    /// It will expire.
    Ending,
}

/// Which members of the filter's family. The family index does not contain the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Members {
    All,
    First,
    Others,
}

impl TokenFilter {
    /// Selects the live tokens of `user`.
    pub fn live_of(user: UserId) -> Self {
        Self {
            user: Some(user),
            state: StateFilter::Live,
            ..Self::default()
        }
    }

    /// The LIKE pattern for the scope. Scopes are stored separated by spaces, and may contain `_`.
    pub(super) fn pattern(&self) -> String {
        let scope = self.scope.as_deref().unwrap_or_default();
        format!("% {} %", scope.replace('_', "\\_"))
    }

    /// Whether the filter excludes expired tokens.
    pub(super) const fn is_live_only(&self) -> bool {
        match self.state {
            StateFilter::Any => self.never_expires || self.expiring_before.is_some(),
            StateFilter::Live => true,
            StateFilter::Is(state) => !matches!(state, TokenState::Expired),
        }
    }

    /// Whether to use the index of a user's tokens.
    pub(super) const fn is_of_user(&self) -> bool {
        self.user.is_some() && self.parent.is_none() && self.family.is_none()
    }

    /// Which of the two kinds of live tokens the filter can select.
    pub(super) const fn lifetimes(&self) -> &'static [Lifetime] {
        let expires = self.expires_before.is_some() || self.expiring_before.is_some();
        match (self.never_expires, expires) {
            (true, true) => &[],
            (true, false) => &[Lifetime::Endless],
            (false, true) => &[Lifetime::Ending],
            (false, false) => &[Lifetime::Endless, Lifetime::Ending],
        }
    }

    /// Which parts of the family to query, if the filter names one.
    pub(super) const fn family_parts(&self) -> &'static [Members] {
        match self.family {
            None => &[Members::All],
            Some(_) => &[Members::First, Members::Others],
        }
    }

    /// All conditions, for live tokens of the given lifetime if there is one. The `+` keeps the engine from using an
    /// index, or a bound of one, on that column.
    pub(super) fn conditions<'a>(
        &self,
        now: Timestamp,
        pattern: &'a str,
        lifetime: Option<Lifetime>,
        members: Members,
    ) -> Conditions<'a> {
        let mut all = Conditions {
            sql: "delete_time IS NULL".to_owned(),
            params: Vec::new(),
        };
        // Only one of these is the index to use. The `||` keeps the engine from using another.
        if let Some(user) = self.user {
            let is_key = self.is_of_user();
            let column = if is_key { "user_id" } else { "user_id || ''" };
            all.and(&format!("{column} = ?"), user);
        }
        if let Some(family) = self.family {
            let condition = match members {
                Members::All => "family_id = ?",
                Members::First => "id = ? AND family_id = ?",
                Members::Others => "family_id = ? AND family_id <> id",
            };
            all.and(condition, family);
        }
        if let Some(parent) = self.parent {
            let is_key = self.family.is_none();
            let column = if is_key {
                "parent_id"
            } else {
                "parent_id || ''"
            };
            all.and(&format!("{column} = ?"), parent);
        }
        if let Some(time) = self.created_from {
            all.and("+create_time >= ?", time);
        }
        if let Some(time) = self.created_before {
            all.and("+create_time < ?", time);
        }
        if let Some(time) = self.unused_since {
            all.and(
                "+create_time < ? AND (last_use_time IS NULL OR last_use_time < ?)",
                time,
            );
        }
        if let Some(time) = self.expires_before {
            all.and("+expire_time < ?", time);
        }
        if let Some(time) = self.expiring_before {
            let column = if lifetime.is_some() {
                "expire_time"
            } else {
                all.and("+expire_time > ?", now);
                "+expire_time"
            };
            all.and(&format!("{column} < ?"), time);
        }
        match lifetime {
            Some(Lifetime::Endless) => all.sql.push_str(" AND expire_time IS NULL"),
            Some(Lifetime::Ending) => all.and("expire_time > ?", now),
            None if self.never_expires => all.sql.push_str(" AND +expire_time IS NULL"),
            None => {}
        }
        if self.scope.is_some() {
            all.and("' ' || scopes || ' ' LIKE ? ESCAPE '\\'", pattern);
        }
        match self.state {
            StateFilter::Is(TokenState::Active) => all.sql.push_str(" AND disabled = 0"),
            StateFilter::Is(TokenState::Disabled) => all.sql.push_str(" AND disabled = 1"),
            StateFilter::Is(TokenState::Expired) => all.and("+expire_time <= ?", now),
            StateFilter::Any | StateFilter::Live => {}
        }
        let is_unexpired = !matches!(
            self.state,
            StateFilter::Any | StateFilter::Is(TokenState::Expired)
        );
        if is_unexpired && lifetime.is_none() {
            all.and(UNEXPIRED, now);
        }
        for id in &self.except {
            all.and("id <> ?", *id);
        }
        all
    }

    /// The column that search results are ordered by, before the ID.
    pub(super) const fn order(&self) -> &'static str {
        if self.expiring_before.is_some() {
            "expire_time"
        } else {
            "create_time"
        }
    }

    /// A token's position in that order.
    pub fn position(&self, token: &Token) -> Position {
        let time = match self.expiring_before {
            Some(_) => token.expire_time.unwrap_or(token.create_time),
            None => token.create_time,
        };
        Position {
            major: time.as_micros(),
            minor: token.id.id().as_u128(),
        }
    }

    /// The range of IDs, exclusive, that contains all tokens in the filter's range of create times.
    pub(super) fn id_range(&self) -> (u128, u128) {
        let low = self
            .created_from
            .map_or(0, |time| Id::least_at(time).as_u128().saturating_sub(1));
        let high = self.created_before.map_or(u128::MAX, |time| {
            // IDs have milliseconds, so include the whole one that the bound is in.
            Id::least_at(time).as_u128().saturating_add(1 << 80)
        });
        (low, high)
    }
}

pub(super) const UNEXPIRED: &str = "(+expire_time IS NULL OR +expire_time > ?)";
