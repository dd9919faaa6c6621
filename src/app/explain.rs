//! Explaining a token: why it is valid or not, where it comes from, what will end it. It judges by the very
//! conditions that verification judges by, and only shows all of them instead of the first that fails.

mod checks;
mod origin;
mod sentences;

pub use origin::{CredentialKind, TokenOrigin};

use std::net::IpAddr;

use crate::{
    domain::{
        cidr::CidrSet,
        reason::Reason,
        scope::ScopeSet,
        time::Timestamp,
        token::{Invalid, Parent, Token},
        token_text::TokenHash,
        user::User,
    },
    store::{
        Tx, audit,
        tokens::{self, Credential},
        users,
    },
};

use super::{
    App, Error,
    authz::{self, Action},
    caller::Caller,
    error::Unauthenticated,
    tokens::{find_even_deleted, parse_token_id},
    verify::parse_use,
};

/// How many of a family's latest tokens are told of.
const MAX_FAMILY: u32 = 100;

/// All that is known of a token.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// When all this was so.
    pub now: Timestamp,
    /// The token.
    pub token: Token,
    /// Whose it is; `None`: deleted.
    pub user: Option<User>,
    /// What must hold for it to be accepted.
    pub conditions: Vec<Condition>,
    /// The scopes in force; none: not limited. `None`: it may do nothing.
    pub scopes: Option<ScopeSet>,
    /// The networks in force; none: any. `None`: it can be used from nowhere.
    pub networks: Option<CidrSet>,
    /// Who made it; `None`: the audit log does not tell.
    pub origin: Option<TokenOrigin>,
    /// What is left of its family, oldest first, itself among them.
    pub family: Vec<Token>,
    /// How many live tokens were made with it.
    pub live_children: u64,
    /// What will end its validity at a known time, soonest first.
    pub endings: Vec<Ending>,
    /// Whether the plaintext that somebody holds is the token's; `None`: nobody asked.
    pub plaintext_matches: Option<bool>,
}

/// Something that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Why the token is refused where it does not hold.
    pub reason: Reason,
    /// Whether it holds.
    pub holds: bool,
    /// The use that it is about; `None`: any.
    pub using: Option<Use>,
}

/// A use of the token that somebody asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// From this address.
    Address(IpAddr),
    /// For this scope.
    Scope(String),
}

/// What is asked of a token.
#[derive(Clone, Debug)]
pub struct ExplainToken<'a> {
    /// Which token.
    pub token_id: &'a str,
    /// The hash of the plaintext that somebody holds; `None`: nobody asks.
    pub plaintext: Option<TokenHash>,
    /// The scopes that it is used for.
    pub required_scopes: &'a [String],
    /// The address that it is used from; empty: nobody asks.
    pub client_ip: &'a str,
}

/// Something that will end a token's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When.
    pub time: Timestamp,
    /// Why the token is refused from then on.
    pub reason: Reason,
}

impl Explanation {
    /// Whether all conditions hold.
    pub fn is_valid(&self) -> bool {
        self.conditions.iter().all(|condition| condition.holds)
    }

    /// Adds what must hold for a use for these scopes and from this address.
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
    /// Explains a token, a deleted one too, until it is purged. One that is not for the caller is not there.
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
                let (found, permit) = find_even_deleted(tx, caller, Action::ExplainToken, id)?;
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
    let origin = match audit::find_made(tx, token.id, token.create_time)? {
        Some(row) => Some(TokenOrigin::from_row(row, |id| users::find(tx, id))?),
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
        origin,
        family,
        live_children,
        plaintext_matches: None,
    })
}

/// What a token that is live will end by.
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
