//! Tokens and what makes one valid.

use std::{net::IpAddr, time::Duration};

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
    /// Who disabled it, so that it is kept and listed, but not accepted; `None`: nobody.
    pub disabled: Option<DisabledBy>,
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
    /// When its family was disabled because a rotated secret of it was used. Its successors have it, too.
    pub reuse_time: Option<Timestamp>,
}

/// Who disabled a token. The stronger word stays: what an admin disabled does not become the owner's matter when
/// the owner disables it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DisabledBy {
    /// Its user or its user's owner, who may enable it.
    Owner,
    /// Someone who acted as an admin.
    Admin,
    /// The server: a rotated secret of its family was used.
    Reuse,
}

impl DisabledBy {
    /// Its word in the store.
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

    /// Whether only an admin may enable what was disabled so.
    pub const fn needs_admin(self) -> bool {
        !matches!(self, Self::Owner)
    }
}

/// When and from where a token was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// When.
    pub time: Timestamp,
    /// From which address; `None`: not known.
    pub ip: Option<IpAddr>,
    /// The address of whoever told that, be it a service or a proxy; `None`: the server has seen it itself.
    pub reporter_ip: Option<IpAddr>,
}

impl LastUse {
    /// A use at `time`, which the server has seen itself.
    pub const fn seen(time: Timestamp, ip: Option<IpAddr>) -> Self {
        Self {
            time,
            ip,
            reporter_ip: None,
        }
    }
}

/// What a token that is not deleted can be, as to itself: its user and its parent count for nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// Neither expired nor disabled.
    Live,
    /// Disabled, and not expired.
    Disabled,
    /// Expired, which is for ever.
    Expired,
}

impl TokenState {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
        }
    }
}

impl Token {
    /// Its state at `now`; `None`: deleted.
    pub fn state(&self, now: Timestamp) -> Option<TokenState> {
        match self.check(now) {
            Ok(()) => Some(TokenState::Live),
            Err(Invalid::Disabled) => Some(TokenState::Disabled),
            Err(Invalid::Expired) => Some(TokenState::Expired),
            Err(_) => None,
        }
    }

    /// Not deleted and not expired: listed and counted.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.delete_time.is_none() && !self.has_expired(now)
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.expire_time.is_some_and(|end| end <= now)
    }

    /// How long it was made to live; `None`: for ever.
    pub fn lifetime(&self) -> Option<Duration> {
        self.expire_time.map(|end| end.since(self.create_time))
    }

    /// All that keeps the token itself from being accepted at `now`. Deletion comes before expiry: it is the
    /// stronger word.
    pub fn faults(&self, now: Timestamp) -> impl Iterator<Item = Invalid> + use<> {
        let faults = [
            (self.delete_time.is_some(), Invalid::Deleted),
            (self.has_expired(now), Invalid::Expired),
            (self.disabled.is_some(), Invalid::Disabled),
        ];
        faults
            .into_iter()
            .filter_map(|(is, fault)| is.then_some(fault))
    }

    /// Whether the token itself, its user and its parent aside, is accepted at `now`.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, now: Timestamp) -> Result<(), Invalid> {
        self.faults(now).next().map_or(Ok(()), Err)
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

impl Parent {
    /// Whether the parent itself and its user let the child be valid at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        let token = self.token.as_ref();
        token.is_some_and(|token| token.check(now).is_ok()) && self.user_active
    }
}

impl Lineage {
    /// The parent, as far as it is still there.
    pub fn parent_token(&self) -> Option<&Token> {
        self.parent.as_ref()?.token.as_ref()
    }

    /// Whether the token or its parent, whose narrowing counts at use, may be used from some networks only.
    pub fn is_bound_to_networks(&self) -> bool {
        !self.token.allowed_cidrs.is_empty()
            || self
                .parent_token()
                .is_some_and(|token| !token.allowed_cidrs.is_empty())
    }

    /// The scopes that the token has and its parent, too; none: it is not limited. `None`: they have none in
    /// common, so that it may do nothing.
    pub fn scopes(&self) -> Option<ScopeSet> {
        let own = &self.token.scopes;
        match self.parent_token() {
            None => Some(own.clone()),
            Some(parent) => own.in_common(&parent.scopes),
        }
    }

    /// The networks that the token may be used from and its parent, too; none: any. `None`: they have none in
    /// common, so that it can be used from nowhere.
    pub fn networks(&self) -> Option<CidrSet> {
        let own = &self.token.allowed_cidrs;
        match self.parent_token() {
            None => Some(own.clone()),
            Some(parent) => own.in_common(&parent.allowed_cidrs),
        }
    }

    /// All that keeps the token from being accepted at `now`, wherever it is used from.
    pub fn faults(&self, now: Timestamp) -> impl Iterator<Item = Invalid> + use<> {
        let user = (!self.user_active).then_some(Invalid::UserDeactivated);
        let parent = self.parent.as_ref().filter(|parent| !parent.is_valid(now));
        let parent = parent.map(|_| Invalid::Parent);
        self.token.faults(now).chain(user).chain(parent)
    }

    /// Whether the token is valid at `now`, from `address` where one is given: live, enabled, its user
    /// active, its parent valid. The parent's narrowing counts at use, so its networks are checked too.
    ///
    /// # Errors
    /// Why it is not.
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

impl Invalid {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 6] = [
        Self::Deleted,
        Self::Expired,
        Self::Disabled,
        Self::UserDeactivated,
        Self::Parent,
        Self::Address,
    ];
}
