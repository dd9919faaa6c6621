//! The filter over all tokens that listing, counting and revoking share.

use crate::{
    domain::{
        id::{TokenId, UserId},
        page::PageQuery,
        scope::ScopeSet,
        time::Timestamp,
        token::TokenState,
    },
    store::tokens::{StateFilter, TokenFilter},
};

use super::super::{
    Error,
    error::{Checked, FieldError, Noun},
};

/// Seconds and nanoseconds, as in a `google.protobuf.Timestamp`.
pub type TimeParts = (i64, i32);

/// A filter, not yet checked. A token must match everything that is set; an empty text is not set.
#[derive(Clone, Debug)]
pub struct TokenSelection {
    /// ID of the token's user.
    pub user_id: String,
    /// ID of the token's family.
    pub family_id: String,
    /// ID of the token that it was created with.
    pub parent_id: String,
    /// Created at this time or later.
    pub create_time_from: Option<TimeParts>,
    /// Created before this time.
    pub create_time_before: Option<TimeParts>,
    /// Created before this time and not used since.
    pub unused_since: Option<TimeParts>,
    /// Has this scope.
    pub scope: String,
    /// Expires, or has expired, before this time.
    pub expire_time_before: Option<TimeParts>,
    /// Has not expired, but will before this time.
    pub expiring_before: Option<TimeParts>,
    /// Never expires.
    pub never_expires: bool,
    /// Is in this state; `None`: in any.
    pub state: Checked<Option<TokenState>>,
}

impl Default for TokenSelection {
    fn default() -> Self {
        Self {
            user_id: String::new(),
            family_id: String::new(),
            parent_id: String::new(),
            create_time_from: None,
            create_time_before: None,
            unused_since: None,
            scope: String::new(),
            expire_time_before: None,
            expiring_before: None,
            never_expires: false,
            state: Ok(None),
        }
    }
}

impl TokenSelection {
    /// Whether anything but the state is set. A state alone is too broad a selection for revoking.
    pub fn is_set(&self) -> bool {
        let texts = [&self.user_id, &self.family_id, &self.parent_id, &self.scope];
        texts.iter().any(|text| !text.is_empty())
            || self.times().iter().any(Option::is_some)
            || self.expiring_before.is_some()
            || self.never_expires
    }

    const fn times(&self) -> [Option<TimeParts>; 4] {
        [
            self.create_time_from,
            self.create_time_before,
            self.unused_since,
            self.expire_time_before,
        ]
    }

    /// Checks the fields. A malformed user ID is reported like an unknown one.
    pub(super) fn parse(&self) -> Result<TokenFilter, Error> {
        let user = match self.user_id.as_str() {
            "" => None,
            text => Some(UserId::parse(text).ok_or(Error::NotFound(Noun::User))?),
        };
        let scope = match self.scope.as_str() {
            "" => None,
            scope => {
                ScopeSet::parse([scope]).map_err(|error| FieldError::new("filter.scope", error))?;
                Some(scope.to_owned())
            }
        };
        Ok(TokenFilter {
            user,
            family: token_id("filter.family_id", &self.family_id)?,
            parent: token_id("filter.parent_id", &self.parent_id)?,
            created_from: parse_time("filter.create_time_from", self.create_time_from)?,
            created_before: parse_time("filter.create_time_before", self.create_time_before)?,
            unused_since: parse_time("filter.unused_since", self.unused_since)?,
            expires_before: parse_time("filter.expire_time_before", self.expire_time_before)?,
            expiring_before: parse_time("filter.expiring_before", self.expiring_before)?,
            never_expires: self.never_expires,
            scope,
            state: self
                .state
                .clone()?
                .map_or(StateFilter::Any, StateFilter::Is),
            except: Vec::new(),
        })
    }

    /// The query that binds page tokens to this filter.
    pub(super) fn describe(&self, procedure: &str) -> PageQuery {
        let mut query = PageQuery::new(procedure);
        for text in [&self.user_id, &self.family_id, &self.parent_id, &self.scope] {
            query = query.field(text.as_bytes());
        }
        let bytes =
            |(seconds, nanos): TimeParts| [seconds, nanos.into()].map(i64::to_be_bytes).concat();
        for time in self.times() {
            query = query.field(&time.map(bytes).unwrap_or_default());
        }
        // Signed into page tokens, which outlive an upgrade: these texts never change.
        let state = match self.state {
            Ok(Some(TokenState::Active)) => "live",
            Ok(Some(TokenState::Disabled)) => "disabled",
            Ok(Some(TokenState::Expired)) => "expired",
            Ok(None) | Err(_) => "",
        };
        query = query
            .field(&[u8::from(self.never_expires)])
            .field(state.as_bytes());
        match self.expiring_before {
            Some(time) => query.field(&bytes(time)),
            None => query,
        }
    }
}

fn token_id(field: &'static str, text: &str) -> Checked<Option<TokenId>> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = TokenId::parse(text).ok_or_else(|| FieldError::new(field, "is not a token's ID"))?;
    Ok(Some(id))
}

/// An optional time of a request.
pub(in crate::app) fn parse_time(
    field: &'static str,
    parts: Option<TimeParts>,
) -> Checked<Option<Timestamp>> {
    parts
        .map(|(seconds, nanos)| Timestamp::parse(seconds, nanos))
        .transpose()
        .map_err(|error| FieldError::new(field, error))
}
