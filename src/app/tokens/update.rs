//! Updates a token: changes its note, disables or enables it, and narrows its scopes and CIDRs.

use std::fmt::Display;

use crate::{
    domain::{
        cidr::CidrSet,
        note::Note,
        reason::Reason,
        scope::ScopeSet,
        token::{DisabledBy, Token},
    },
    store::{Tx, audit, tokens},
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::Caller,
        error::{Checked, Noun},
    },
    check_enable, find_target, parse_cidrs, parse_note, parse_scopes, parse_token_id,
};

/// A request to update a token, not yet checked. Absent or empty fields stay as they are.
#[derive(Clone, Debug, Default)]
pub struct UpdateToken {
    /// The token to change.
    pub token_id: String,
    /// The new note.
    pub note: Option<String>,
    /// Whether to disable or enable it.
    pub disabled: Option<bool>,
    /// The narrower scopes.
    pub scopes: Vec<String>,
    /// The narrower CIDR ranges.
    pub allowed_cidrs: Vec<String>,
}

/// The checked fields of a request.
#[derive(Clone, Debug)]
struct FieldChanges {
    note: Option<Note>,
    disabled: Option<bool>,
    scopes: ScopeSet,
    allowed_cidrs: CidrSet,
}

impl App {
    /// Updates a live token and returns the result. When this returns, the change is durable, and no check that starts
    /// later sees the old token.
    pub async fn update_token(
        &self,
        caller: &Caller,
        request: UpdateToken,
    ) -> Result<Token, Error> {
        authz::admit(caller, Action::UpdateToken)?;
        let id = parse_token_id(&request.token_id)?;
        let now = self.now();
        let changes = FieldChanges::parse(&request);
        let caller = caller.clone();
        let disables = request.disabled == Some(true);
        let work = move |tx: &Tx<'_>| {
            let caller = caller.refresh(tx, now)?;
            let (found, permit) = find_target(tx, &caller, Action::UpdateToken, id)?;
            let token = found.lineage.token;
            let changes = changes.clone()?;
            if !token.is_live(now) {
                return Err(Error::Precondition {
                    reason: Reason::TokenExpired,
                    problem: "the token has expired, so it can no longer be changed".to_owned(),
                });
            }
            if changes.disabled == Some(false) {
                check_enable(&caller, &token)?;
            }
            let changed = changes.apply(token.clone(), disabler(&caller, permit.relation()))?;
            let mut actions = actions(&token, &changed);
            if actions.is_empty() && permit.relation().is_foreign() {
                // Nothing changes, but the reply shows another user's token, so it is audited.
                actions.push(Action::UpdateToken.audit());
            } else if !actions.is_empty() && !tokens::update(tx, &changed)? {
                return Err(Error::NotFound(Noun::Token));
            }
            for action in actions {
                audit::append(tx, permit.event_called(action, now, token.id))?;
            }
            Ok(changed)
        };
        if disables {
            self.revoke(work).await
        } else {
            self.write(work).await
        }
    }
}

/// Who a disabled token is disabled by. An admin counts as one even for its own machine users, so that these cannot
/// undo it.
fn disabler(caller: &Caller, relation: Relation) -> DisabledBy {
    if relation != Relation::Oneself && caller.acts_as_admin() {
        DisabledBy::Admin
    } else {
        DisabledBy::Owner
    }
}

/// The audit actions for what changed.
fn actions(before: &Token, after: &Token) -> Vec<&'static str> {
    let narrowed = before.scopes != after.scopes || before.allowed_cidrs != after.allowed_cidrs;
    let done = [
        (before.disabled < after.disabled, "token.disable"),
        (before.disabled > after.disabled, "token.enable"),
        (narrowed, "token.narrow"),
        (before.note != after.note, "token.describe"),
    ];
    let done = done.into_iter().filter(|(done, _)| *done);
    done.map(|(_, action)| action).collect()
}

impl FieldChanges {
    fn parse(request: &UpdateToken) -> Checked<Self> {
        Ok(Self {
            note: request.note.as_deref().map(parse_note).transpose()?,
            disabled: request.disabled,
            scopes: parse_scopes(&request.scopes)?,
            allowed_cidrs: parse_cidrs(&request.allowed_cidrs)?,
        })
    }

    /// Applies the changes; `disabler` is recorded if they disable the token.
    fn apply(self, mut token: Token, disabler: DisabledBy) -> Result<Token, Error> {
        if !self.scopes.is_empty() {
            if !self.scopes.is_within(&token.scopes) {
                return Err(exceeds("scopes", &token.scopes));
            }
            token.scopes = self.scopes;
        }
        if !self.allowed_cidrs.is_empty() {
            if !self.allowed_cidrs.is_within(&token.allowed_cidrs) {
                return Err(exceeds("networks", &token.allowed_cidrs));
            }
            token.allowed_cidrs = self.allowed_cidrs;
        }
        token.note = self.note.unwrap_or(token.note);
        token.disabled = match self.disabled {
            None => token.disabled,
            Some(true) => token.disabled.max(Some(disabler)),
            Some(false) => None,
        };
        Ok(token)
    }
}

fn exceeds(what: &str, allowed: &dyn Display) -> Error {
    Error::Precondition {
        reason: Reason::ExceedsToken,
        problem: format!("a token can only be narrowed: its {what} are {allowed}"),
    }
}
