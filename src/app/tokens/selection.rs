//! Which of all tokens, as a request says it: the same words for listing, counting and revoking.

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

/// Seconds and nanoseconds, as a message has them.
pub type TimeParts = (i64, i32);

/// Which tokens, as it came. A token must meet all that is set; empty texts are not.
#[derive(Clone, Debug)]
pub struct TokenSelection {
    /// Whose.
    pub user_id: String,
    /// Of which family.
    pub family_id: String,
    /// Made with which token.
    pub parent_id: String,
    /// Created then or later.
    pub create_time_from: Option<TimeParts>,
    /// Created earlier.
    pub create_time_before: Option<TimeParts>,
    /// Created earlier and not used since.
    pub unused_since: Option<TimeParts>,
    /// That name this scope.
    pub scope: String,
    /// That expire earlier.
    pub expire_time_before: Option<TimeParts>,
    /// That have not expired, and will before then.
    pub expiring_before: Option<TimeParts>,
    /// That never expire.
    pub never_expires: bool,
    /// In this state; `None`: in any.
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
    /// Whether anything but a state is set, which alone is too little to revoke by.
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

    /// The filter. A user ID that cannot be one is answered like one that is not there.
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

    /// Binds a page token to it.
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
        let state = self.state.as_ref().ok().copied().flatten();
        query = query
            .field(&[u8::from(self.never_expires)])
            .field(state.map_or("", TokenState::as_str).as_bytes());
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

/// A time of a request, where there is one.
pub(in crate::app) fn parse_time(
    field: &'static str,
    parts: Option<TimeParts>,
) -> Checked<Option<Timestamp>> {
    parts
        .map(|(seconds, nanos)| Timestamp::parse(seconds, nanos))
        .transpose()
        .map_err(|error| FieldError::new(field, error))
}
