//! Which tokens a search is for, as conditions on a row.

use crate::{
    domain::{
        id::{Id, TokenId, UserId},
        time::Timestamp,
        token::TokenState,
    },
    store::value::Value,
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

/// A condition under construction: SQL, and the values for its `?N`.
pub(super) struct Conditions<'a> {
    /// `delete_time IS NULL AND …`
    pub(super) sql: String,
    pub(super) params: Vec<Value<'a>>,
}

impl<'a> Conditions<'a> {
    /// Where to put `value`: its `?N`.
    pub(super) fn add(&mut self, value: impl Into<Value<'a>>) -> String {
        self.params.push(value.into());
        format!("?{}", self.params.len())
    }

    /// One more condition, whose `?` stands for `value`.
    fn and(&mut self, condition: &str, value: impl Into<Value<'a>>) {
        let number = self.add(value);
        self.sql.push_str(" AND ");
        self.sql.push_str(&condition.replace('?', &number));
    }
}

impl TokenFilter {
    /// What the scope's condition compares with. The scopes are stored with a space between them, and `_` may
    /// be in one.
    pub(super) fn pattern(&self) -> String {
        let scope = self.scope.as_deref().unwrap_or_default();
        format!("% {} %", scope.replace('_', "\\_"))
    }

    /// All conditions. The `+` keeps an index on the expiry from being taken for another order than is asked for.
    pub(super) fn conditions<'a>(&self, now: Timestamp, pattern: &'a str) -> Conditions<'a> {
        let mut all = Conditions {
            sql: "delete_time IS NULL".to_owned(),
            params: Vec::new(),
        };
        if let Some(user) = self.user {
            all.and("user_id = ?", user);
        }
        if let Some(family) = self.family {
            all.and("family_id = ?", family);
        }
        if let Some(parent) = self.parent {
            all.and("parent_id = ?", parent);
        }
        if let Some(time) = self.created_from {
            all.and("create_time >= ?", time);
        }
        if let Some(time) = self.created_before {
            all.and("create_time < ?", time);
        }
        if let Some(time) = self.unused_since {
            all.and(
                "create_time < ? AND (last_use_time IS NULL OR last_use_time < ?)",
                time,
            );
        }
        if let Some(time) = self.expires_before {
            all.and("+expire_time < ?", time);
        }
        if self.never_expires {
            all.sql.push_str(" AND +expire_time IS NULL");
        }
        if self.scope.is_some() {
            all.and("' ' || scopes || ' ' LIKE ? ESCAPE '\\'", pattern);
        }
        match self.state {
            StateFilter::Any => {}
            StateFilter::Is(TokenState::Live) => {
                all.and(&format!("disabled = 0 AND {UNEXPIRED}"), now);
            }
            StateFilter::Is(TokenState::Disabled) => {
                all.and(&format!("disabled = 1 AND {UNEXPIRED}"), now);
            }
            StateFilter::Is(TokenState::Expired) => all.and("+expire_time <= ?", now),
            StateFilter::NotExpired => all.and(UNEXPIRED, now),
        }
        for id in &self.except {
            all.and("id <> ?", *id);
        }
        all
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
