//! Tokens and what makes one valid.

use std::net::IpAddr;

use super::{
    cidr::CidrSet,
    id::{TokenId, UserId},
    note::Note,
    scope::ScopeSet,
    time::Timestamp,
};

/// A token, as it is stored (without the hash of its plaintext).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The public ID.
    pub id: TokenId,
    /// Whose token it is.
    pub user_id: UserId,
    /// What the creator wrote to remember it by.
    pub note: Note,
    /// What it is limited to.
    pub scopes: ScopeSet,
    /// Where it may be used from.
    pub allowed_cidrs: CidrSet,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it stops being valid; `None`: never.
    pub expire_time: Option<Timestamp>,
    /// Kept and listed, but not accepted.
    pub disabled: bool,
    /// The token that it was made with.
    pub parent_id: Option<TokenId>,
    /// The first of the tokens that follow each other by rotation.
    pub family_id: TokenId,
    /// When it was deleted.
    pub delete_time: Option<Timestamp>,
    /// The token that took over from it by rotation.
    pub successor_id: Option<TokenId>,
    /// Its latest use that is written down, which may lag by a minute.
    pub last_use: Option<LastUse>,
}

/// When and from where a token was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// When.
    pub time: Timestamp,
    /// From which address; `None`: not known.
    pub ip: Option<IpAddr>,
}

impl Token {
    /// Not deleted and not expired: listed and counted.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.delete_time.is_none() && self.expire_time.is_none_or(|end| now < end)
    }

    /// Whether the token itself, its user and its parent aside, is accepted at `now`.
    ///
    /// # Errors
    /// Why it is not. Deletion is told before expiry: it is the stronger word.
    pub fn check(&self, now: Timestamp) -> Result<(), Invalid> {
        if self.delete_time.is_some() {
            Err(Invalid::Deleted)
        } else if !self.is_live(now) {
            Err(Invalid::Expired)
        } else if self.disabled {
            Err(Invalid::Disabled)
        } else {
            Ok(())
        }
    }
}

/// All that decides whether a token is valid, read in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The token.
    pub token: Token,
    /// Whether the token's user is there and active.
    pub user_active: bool,
    /// The parent, where the token has one.
    pub parent: Option<Parent>,
}

/// What counts of a token's parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The token it was made with; `None`: purged.
    pub token: Option<Token>,
    /// Whether the parent's user is there and active.
    pub user_active: bool,
}

impl Lineage {
    /// Whether the token or its parent, whose narrowing counts at use, may be used from some networks only.
    pub fn is_bound_to_networks(&self) -> bool {
        let parent = self.parent.as_ref().and_then(|p| p.token.as_ref());
        !self.token.allowed_cidrs.is_empty()
            || parent.is_some_and(|token| !token.allowed_cidrs.is_empty())
    }

    /// Whether the token is valid at `now`, from `address` where one is given: live, enabled, its user
    /// active, its parent valid. The parent's narrowing counts at use, so its networks are checked too.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, now: Timestamp, address: Option<IpAddr>) -> Result<(), Invalid> {
        self.token.check(now)?;
        if !self.user_active {
            return Err(Invalid::UserDeactivated);
        }
        if let Some(parent) = &self.parent {
            let token = parent.token.as_ref().ok_or(Invalid::Parent)?;
            token.check(now).map_err(|_| Invalid::Parent)?;
            if !parent.user_active {
                return Err(Invalid::Parent);
            }
        }
        let parent = self
            .parent
            .as_ref()
            .and_then(|parent| parent.token.as_ref());
        let allows = |address| {
            self.token.allowed_cidrs.allows(address)
                && parent.is_none_or(|token| token.allowed_cidrs.allows(address))
        };
        match address {
            Some(address) if !allows(address) => Err(Invalid::Address),
            _ => Ok(()),
        }
    }
}

/// Why a token, whose full secret was shown, is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Invalid {
    /// It was deleted.
    #[error("the token was deleted")]
    Deleted,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// It is disabled.
    #[error("the token is disabled")]
    Disabled,
    /// Its user is deactivated or deleted.
    #[error("the token's user is deactivated")]
    UserDeactivated,
    /// The token that it was made with is not valid.
    #[error("the token that this one was made with is no longer valid")]
    Parent,
    /// It may not be used from this address.
    #[error("the token may not be used from this address")]
    Address,
}
