//! Which tokens a search is for, as conditions on a row.

use crate::{
    domain::{
        id::{Id, TokenId, UserId},
        page::Position,
        time::Timestamp,
        token::{Token, TokenState},
    },
    store::conditions::Conditions,
};

/// Which tokens, of those that are not deleted. One must meet all that is set.
#[derive(Clone, Debug, Default)]
pub struct TokenFilter {
    /// Those of this user.
    pub user: Option<UserId>,
    /// Those of the family that this token was the first of.
    pub family: Option<TokenId>,
    /// Those made with this token.
    pub parent: Option<TokenId>,
    /// Those created then or later.
    pub created_from: Option<Timestamp>,
    /// Those created earlier.
    pub created_before: Option<Timestamp>,
    /// Those created earlier and not used since.
    pub unused_since: Option<Timestamp>,
    /// Those that expire earlier.
    pub expires_before: Option<Timestamp>,
    /// Those that have not expired, and will before then. They come in the order of their expiry.
    pub expiring_before: Option<Timestamp>,
    /// Those that never expire.
    pub never_expires: bool,
    /// Those that name this scope.
    pub scope: Option<String>,
    /// Those in such a state.
    pub state: StateFilter,
    /// Not these.
    pub except: Vec<TokenId>,
}

/// In which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateFilter {
    /// In any.
    #[default]
    Any,
    /// In this one.
    Is(TokenState),
    /// Live or disabled.
    NotExpired,
}

/// How long a live token lives: each is a range of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// It never expires.
    Endless,
    /// It expires, but not yet.
    Ending,
}

/// Which members of the family that a filter may name: the first is not in the index of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Members {
    All,
    First,
    Others,
}

impl TokenFilter {
    /// The live tokens of `user`.
    pub fn live_of(user: UserId) -> Self {
        Self {
            user: Some(user),
            state: StateFilter::NotExpired,
            ..Self::default()
        }
    }

    /// What the scope's condition compares with. The scopes are stored with a space between them, and `_` may
    /// be in one.
    pub(super) fn pattern(&self) -> String {
        let scope = self.scope.as_deref().unwrap_or_default();
        format!("% {} %", scope.replace('_', "\\_"))
    }

    /// Whether it is for no expired token.
    pub(super) const fn is_live_only(&self) -> bool {
        match self.state {
            StateFilter::Any => self.never_expires || self.expiring_before.is_some(),
            StateFilter::NotExpired => true,
            StateFilter::Is(state) => !matches!(state, TokenState::Expired),
        }
    }

    /// Whether the index of a user's tokens is the one to look in.
    pub(super) const fn is_of_user(&self) -> bool {
        self.user.is_some() && self.parent.is_none() && self.family.is_none()
    }

    /// The lifetimes that the live tokens have that it selects.
    pub(super) const fn lifetimes(&self) -> &'static [Lifetime] {
        let expires = self.expires_before.is_some() || self.expiring_before.is_some();
        match (self.never_expires, expires) {
            (true, true) => &[],
            (true, false) => &[Lifetime::Endless],
            (false, true) => &[Lifetime::Ending],
            (false, false) => &[Lifetime::Endless, Lifetime::Ending],
        }
    }

    /// Where to look for the members of the family, if it names one.
    pub(super) const fn family_parts(&self) -> &'static [Members] {
        match self.family {
            None => &[Members::All],
            Some(_) => &[Members::First, Members::Others],
        }
    }

    /// All conditions; with a lifetime, those for live tokens that have it. The `+` keeps the engine from taking
    /// an index on that column, or a bound in one, instead of those that are asked for.
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
        // One of these is the beginning of an index; by the `||` the engine does not take another's.
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
            StateFilter::Is(TokenState::Live) => all.sql.push_str(" AND disabled = 0"),
            StateFilter::Is(TokenState::Disabled) => all.sql.push_str(" AND disabled = 1"),
            StateFilter::Is(TokenState::Expired) => all.and("+expire_time <= ?", now),
            StateFilter::Any | StateFilter::NotExpired => {}
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

    /// What the tokens are in the order of, and then of their IDs.
    pub(super) const fn order(&self) -> &'static str {
        if self.expiring_before.is_some() {
            "expire_time"
        } else {
            "create_time"
        }
    }

    /// Where a token stands in that order.
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

    /// Between which IDs, both excluded, those lie that were created when the filter says.
    pub(super) fn id_range(&self) -> (u128, u128) {
        let low = self
            .created_from
            .map_or(0, |time| Id::least_at(time).as_u128().saturating_sub(1));
        let high = self.created_before.map_or(u128::MAX, |time| {
            // The millisecond that it falls into still counts.
            Id::least_at(time).as_u128().saturating_add(1 << 80)
        });
        (low, high)
    }
}

pub(super) const UNEXPIRED: &str = "(+expire_time IS NULL OR +expire_time > ?)";
