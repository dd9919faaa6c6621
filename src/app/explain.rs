//! Explains a token: why it is valid or not, where it came from and what will end it. It checks the conditions that
//! verification checks, but reports all of them instead of the first that fails.

use std::net::IpAddr;

use crate::{
    domain::{
        audit::AuditRow,
        cidr::CidrSet,
        id::UserId,
        reason::Reason,
        scope::ScopeSet,
        time::Timestamp,
        token::{Invalid, Parent, Token},
        token_text::TokenHash,
        user::{User, Username},
    },
    store::{
        self, Tx, audit,
        tokens::{self, Credential},
        users,
    },
};

use super::{
    App, Error,
    authz::{self, Action},
    caller::Caller,
    error::Unauthenticated,
    tokens::{find_even_revoked, parse_token_id},
    verify::parse_use,
};

/// How many of a family's newest tokens are returned.
const MAX_FAMILY: u32 = 100;

/// Everything that is known about a token.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The time that the explanation is about.
    pub now: Timestamp,
    /// The token.
    pub token: Token,
    /// The token's user; `None` if it was deleted.
    pub user: Option<User>,
    /// What must hold for the token to be accepted.
    pub conditions: Vec<Condition>,
    /// The effective scopes; an empty set is no limit. `None`: it may do nothing.
    pub scopes: Option<ScopeSet>,
    /// The effective CIDRs; an empty set is no limit. `None`: it can be used from nowhere.
    pub networks: Option<CidrSet>,
    /// Who created it; `None` if the audit log no longer has it.
    pub creation: Option<TokenCreation>,
    /// The first and the newest tokens of its family that were not purged, oldest first.
    pub family: Vec<Token>,
    /// How many live tokens were created with it.
    pub live_children: u64,
    /// The known times at which its validity ends, soonest first.
    pub endings: Vec<Ending>,
    /// Whether the plaintext of the request is this token's; `None` if the request has none.
    pub plaintext_matches: Option<bool>,
}

/// Something that must hold for a token to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Why the token is refused if it does not hold.
    pub reason: Reason,
    /// Whether the condition holds.
    pub holds: bool,
    /// The use that it depends on; `None`: it holds or fails for every use.
    pub using: Option<Use>,
}

/// A use of the token that the request asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// From this address.
    Address(IpAddr),
    /// For this scope.
    Scope(String),
}

/// A request to explain a token.
#[derive(Clone, Debug)]
pub struct ExplainToken<'a> {
    /// The token's ID.
    pub token_id: &'a str,
    /// Hash of the plaintext to compare; `None`: none to compare.
    pub plaintext: Option<TokenHash>,
    /// The scopes that the use needs.
    pub required_scopes: &'a [String],
    /// The address that it is used from; empty: unknown.
    pub client_ip: &'a str,
}

/// Something that will end a token's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The time from which it is invalid.
    pub time: Timestamp,
    /// Why the token is refused from then on.
    pub reason: Reason,
}

impl Explanation {
    /// Whether all conditions hold.
    pub fn is_valid(&self) -> bool {
        self.conditions.iter().all(|condition| condition.holds)
    }

    /// Adds the conditions of a use with these scopes and from this address.
    fn add_use(&mut self, scopes: &ScopeSet, address: Option<IpAddr>) {
        let from = address.map(|address| Condition {
            reason: reason(Invalid::Address),
            holds: self
                .networks
                .as_ref()
                .is_some_and(|networks| networks.allows(address)),
            using: Some(Use::Address(address)),
        });
        let has = |scope: &str| {
            let own = self.scopes.as_ref();
            own.is_some_and(|own| own.is_empty() || own.iter().any(|own| own == scope))
        };
        let scopes = scopes.iter().map(|scope| Condition {
            reason: Reason::ScopeMissing,
            holds: has(scope),
            using: Some(Use::Scope(scope.to_owned())),
        });
        let all: Vec<_> = from.into_iter().chain(scopes).collect();
        self.conditions.extend(all);
    }
}

impl App {
    /// Explains a token, even a revoked one until it is purged. A token that the caller may not see is not found.
    pub async fn explain_token(
        &self,
        caller: &Caller,
        request: ExplainToken<'_>,
    ) -> Result<Explanation, Error> {
        authz::admit(caller, Action::ExplainToken)?;
        let id = parse_token_id(request.token_id)?;
        let plaintext = request.plaintext;
        let scopes = request.required_scopes.iter().map(String::as_str);
        let (scopes, address) = parse_use(scopes, request.client_ip)?;
        let now = self.now();
        let (explanation, relation) = self
            .read_as(caller, move |tx, caller| {
                let (found, permit) = find_even_revoked(tx, caller, Action::ExplainToken, id)?;
                let matches = plaintext.map(|hash| found.hash.matches(&hash));
                let mut explanation = explain(tx, found, now)?;
                explanation.plaintext_matches = matches;
                explanation.add_use(&scopes, address);
                Ok((explanation, permit.relation()))
            })
            .await?;
        let id = explanation.token.id;
        self.record_read(caller, Action::ExplainToken, relation, id)
            .await?;
        Ok(explanation)
    }
}

fn explain(tx: &Tx<'_>, found: Credential, now: Timestamp) -> Result<Explanation, Error> {
    let Credential { lineage, user, .. } = found;
    let (scopes, networks) = (lineage.scopes(), lineage.networks());
    let faults: Vec<_> = lineage.faults(now).collect();
    let holds = |invalid: Invalid| match invalid {
        Invalid::Address => networks.is_some(),
        other => !faults.contains(&other),
    };
    let mut conditions: Vec<_> = Invalid::ALL
        .iter()
        .map(|invalid| Condition {
            reason: reason(*invalid),
            holds: holds(*invalid),
            using: None,
        })
        .collect();
    conditions.push(Condition {
        reason: Reason::ScopeMissing,
        holds: scopes.is_some(),
        using: None,
    });
    let token = lineage.token;
    let family = tokens::list_family(tx, token.family_id, MAX_FAMILY)?;
    let live_children = tokens::count_live_children(tx, token.id, now)?;
    let creation = match audit::find_creation(tx, token.id, token.create_time)? {
        Some(row) => Some(TokenCreation::from_row(row, |id| users::find(tx, id))?),
        None => None,
    };
    Ok(Explanation {
        now,
        endings: endings(&token, lineage.parent.as_ref(), now),
        token,
        user,
        conditions,
        scopes,
        networks,
        creation,
        family,
        live_children,
        plaintext_matches: None,
    })
}

/// The endings of a live token; none for any other.
fn endings(token: &Token, parent: Option<&Parent>, now: Timestamp) -> Vec<Ending> {
    if !token.is_live(now) {
        return Vec::new();
    }
    let own = token.expire_time.map(|time| (time, Invalid::Expired));
    let parent = parent.and_then(|parent| parent.token.as_ref()?.expire_time);
    let parent = parent.map(|time| (time, Invalid::Parent));
    let mut endings: Vec<_> = own
        .into_iter()
        .chain(parent)
        .filter(|(time, _)| *time > now)
        .map(|(time, invalid)| Ending {
            time,
            reason: reason(invalid),
        })
        .collect();
    endings.sort_by_key(|ending| ending.time);
    endings
}

const fn reason(invalid: Invalid) -> Reason {
    Unauthenticated::Invalid(invalid).reason()
}

/// Who created a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCreation {
    /// When the token was created.
    pub time: Timestamp,
    /// A user ID, or `local:UID` for a process on the database's host.
    pub actor: String,
    /// The actor's username, if the user still exists.
    pub username: Option<Username>,
    /// The credential that the actor used.
    pub credential: CredentialKind,
    /// Whether it was created by rotation.
    pub rotated: bool,
}

/// What the creator of a token authenticated with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A username and its password.
    Password,
    /// The token with this ID.
    Token(String),
    /// None: a process on the database's host.
    Local,
}

impl TokenCreation {
    fn from_row(
        row: AuditRow,
        find_user: impl FnOnce(UserId) -> Result<Option<User>, store::Error>,
    ) -> Result<Self, Error> {
        let credential = if !row.credential_id.is_empty() {
            CredentialKind::Token(row.credential_id)
        } else if row.actor.starts_with("local:") {
            CredentialKind::Local
        } else {
            CredentialKind::Password
        };
        let user = match UserId::parse(&row.actor) {
            Some(id) => find_user(id)?,
            None => None,
        };
        Ok(Self {
            time: row.time,
            rotated: row.action == Action::RotateToken.audit(),
            username: user.map(|user| user.username),
            actor: row.actor,
            credential,
        })
    }
}
