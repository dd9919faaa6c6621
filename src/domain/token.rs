//! Tokens, and what makes one valid.

use std::{net::IpAddr, time::Duration};

use super::{
    cidr::CidrSet,
    id::{TokenId, UserId},
    note::Note,
    scope::ScopeSet,
    time::Timestamp,
};

/// A stored token, without the hash of its plaintext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The public ID.
    pub id: TokenId,
    /// The user it belongs to.
    pub user_id: UserId,
    /// The creator's description of its purpose.
    pub note: Note,
    /// Limits what it may do.
    pub scopes: ScopeSet,
    /// The networks it may be used from.
    pub allowed_cidrs: CidrSet,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it stops being valid; `None`: never.
    pub expire_time: Option<Timestamp>,
    /// Who disabled it; `None` if it is not disabled. A disabled token is kept and listed, but not accepted.
    pub disabled: Option<DisabledBy>,
    /// The token it was created with.
    pub parent_id: Option<TokenId>,
    /// The first token of its chain of rotations.
    pub family_id: TokenId,
    /// When it was revoked.
    pub delete_time: Option<Timestamp>,
    /// Its successor, if it was rotated.
    pub successor_id: Option<TokenId>,
    /// Its last recorded use, up to a minute behind.
    pub last_use: Option<LastUse>,
    /// When its family was disabled because a rotated secret was reused. Successors inherit it.
    pub reuse_time: Option<Timestamp>,
}

/// Who disabled a token, in ascending order of authority. The highest one stays: an owner who disables a token that
/// an admin disabled does not thereby gain the right to enable it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DisabledBy {
    /// Its user or its user's owner, who may enable it again.
    Owner,
    /// Someone who acted as an admin.
    Admin,
    /// The server, because a rotated secret of its family was reused.
    Reuse,
}

impl DisabledBy {
    /// The stored text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Reuse => "reuse",
        }
    }

    /// From the store.
    pub fn from_row(text: &str) -> Option<Self> {
        let all = [Self::Owner, Self::Admin, Self::Reuse];
        all.into_iter().find(|by| by.as_str() == text)
    }

    /// Whether only an admin may enable such a token.
    pub const fn needs_admin(self) -> bool {
        !matches!(self, Self::Owner)
    }
}

/// When and from where a token was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// When it was used.
    pub time: Timestamp,
    /// The client's address, if known.
    pub ip: Option<IpAddr>,
    /// The address of the service or proxy that reported the use; `None` if the server saw it itself.
    pub reporter_ip: Option<IpAddr>,
}

impl LastUse {
    /// A use at `time` that the server saw itself.
    pub const fn seen(time: Timestamp, ip: Option<IpAddr>) -> Self {
        Self {
            time,
            ip,
            reporter_ip: None,
        }
    }
}

/// The state of a token that is not revoked, regardless of its user and parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// Neither expired nor disabled.
    Active,
    /// Disabled and not expired.
    Disabled,
    /// Expired, which is final.
    Expired,
}

impl Token {
    /// The state at `now`; `None` if the token is revoked.
    pub fn state(&self, now: Timestamp) -> Option<TokenState> {
        match self.check(now) {
            Ok(()) => Some(TokenState::Active),
            Err(Invalid::Disabled) => Some(TokenState::Disabled),
            Err(Invalid::Expired) => Some(TokenState::Expired),
            Err(_) => None,
        }
    }

    /// Neither revoked nor expired: such tokens are listed and count towards quotas.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.delete_time.is_none() && !self.has_expired(now)
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.expire_time.is_some_and(|end| end <= now)
    }

    /// The lifetime it was created with; `None`: it never expires.
    pub fn lifetime(&self) -> Option<Duration> {
        self.expire_time.map(|end| end.since(self.create_time))
    }

    /// Why the token itself is not accepted at `now`, if it is not: every reason. Revocation comes first, as the
    /// stronger reason.
    pub fn faults(&self, now: Timestamp) -> impl Iterator<Item = Invalid> + use<> {
        let faults = [
            (self.delete_time.is_some(), Invalid::Revoked),
            (self.has_expired(now), Invalid::Expired),
            (self.disabled.is_some(), Invalid::Disabled),
        ];
        faults
            .into_iter()
            .filter_map(|(is, fault)| is.then_some(fault))
    }

    /// Whether the token itself is accepted at `now`, regardless of its user and parent.
    ///
    /// # Errors
    /// The first reason why it is not.
    pub fn check(&self, now: Timestamp) -> Result<(), Invalid> {
        self.faults(now).next().map_or(Ok(()), Err)
    }
}

/// Everything that decides whether a token is valid, read in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The token.
    pub token: Token,
    /// Whether the token's user exists and is active.
    pub user_active: bool,
    /// The parent, if the token has one.
    pub parent: Option<Parent>,
}

/// The part of a parent token that decides about its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The parent token; `None` if it was purged.
    pub token: Option<Token>,
    /// Whether the parent's user exists and is active.
    pub user_active: bool,
}

impl Parent {
    /// Whether the parent token and its user are valid at `now`, as the child's validity requires.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        let token = self.token.as_ref();
        token.is_some_and(|token| token.check(now).is_ok()) && self.user_active
    }
}

impl Lineage {
    /// The parent token, if there is one that was not purged.
    pub fn parent_token(&self) -> Option<&Token> {
        self.parent.as_ref()?.token.as_ref()
    }

    /// Whether the token or its parent is restricted to certain networks. The parent is checked on every use, so
    /// narrowing it takes effect at once.
    pub fn is_bound_to_networks(&self) -> bool {
        !self.token.allowed_cidrs.is_empty()
            || self
                .parent_token()
                .is_some_and(|token| !token.allowed_cidrs.is_empty())
    }

    /// The effective scopes: those that both the token and its parent allow. Empty means unlimited; `None` means that
    /// they have none in common, so the token may do nothing.
    pub fn scopes(&self) -> Option<ScopeSet> {
        let own = &self.token.scopes;
        match self.parent_token() {
            None => Some(own.clone()),
            Some(parent) => own.in_common(&parent.scopes),
        }
    }

    /// The effective networks: those that both the token and its parent allow. Empty means any; `None` means that
    /// they have none in common, so the token cannot be used from anywhere.
    pub fn networks(&self) -> Option<CidrSet> {
        let own = &self.token.allowed_cidrs;
        match self.parent_token() {
            None => Some(own.clone()),
            Some(parent) => own.in_common(&parent.allowed_cidrs),
        }
    }

    /// Every reason why the token is not accepted at `now`, regardless of the client's address.
    pub fn faults(&self, now: Timestamp) -> impl Iterator<Item = Invalid> + use<> {
        let user = (!self.user_active).then_some(Invalid::UserDeactivated);
        let parent = self.parent.as_ref().filter(|parent| !parent.is_valid(now));
        let parent = parent.map(|_| Invalid::Parent);
        self.token.faults(now).chain(user).chain(parent)
    }

    /// Whether the token is valid at `now`, and from `address` if one is given: the token is live and not disabled,
    /// its user active and its parent valid. The parent's networks are checked too, since narrowing it takes effect
    /// at once.
    ///
    /// # Errors
    /// The first reason why it is not.
    pub fn check(&self, now: Timestamp, address: Option<IpAddr>) -> Result<(), Invalid> {
        if let Some(fault) = self.faults(now).next() {
            return Err(fault);
        }
        let parent = self.parent_token();
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

/// Why a token is not accepted although its secret is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Invalid {
    /// It was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is disabled.
    #[error("the token is disabled")]
    Disabled,
    /// Its user is deactivated or deleted.
    #[error("the token's user is deactivated")]
    UserDeactivated,
    /// The token it was created with is not valid.
    #[error("the token that this one was made with is no longer valid")]
    Parent,
    /// It may not be used from this address.
    #[error("the token may not be used from this address")]
    Address,
}

impl Invalid {
    /// All reasons, in the order in which they are reported.
    pub const ALL: [Self; 6] = [
        Self::Revoked,
        Self::Expired,
        Self::Disabled,
        Self::UserDeactivated,
        Self::Parent,
        Self::Address,
    ];
}
