//! The text of each condition, worded so that "yes" is good, and the details behind its result.

use crate::domain::{reason::Reason, relative::relative, time::Timestamp, token::DisabledBy};

use super::{Condition, Explanation, Use, sentences::Show};

impl Condition {
    /// What was checked, as a phrase that "yes" or "no" answers: `not deleted`.
    pub fn checked(&self) -> String {
        match (&self.using, self.reason) {
            (Some(Use::Address(address)), _) => format!("allowed from {address}"),
            (Some(Use::Scope(scope)), _) => format!("has the scope {scope}"),
            (None, Reason::TokenDeleted) => "not deleted".to_owned(),
            (None, Reason::TokenExpired) => "not expired".to_owned(),
            (None, Reason::TokenDisabled) => "not disabled".to_owned(),
            (None, Reason::UserDeactivated) => "user is active".to_owned(),
            (None, Reason::ParentInvalid) => "parent is valid".to_owned(),
            (None, Reason::AddressNotAllowed) => "allowed from some address".to_owned(),
            (None, Reason::ScopeMissing) => "has some scope left".to_owned(),
            (None, other) => format!("not {}", other.as_str()),
        }
    }
}

impl Explanation {
    /// Why a condition holds or not, with times formatted by `show`; empty if there is nothing to add.
    pub fn detail(&self, condition: &Condition, show: impl Fn(Timestamp) -> String) -> String {
        let show: Show<'_> = &show;
        if !condition.holds {
            return self.fault(condition, show);
        }
        match (&condition.using, condition.reason) {
            (None, Reason::TokenExpired) => match self.token.expire_time {
                None => "it never expires".to_owned(),
                Some(time) => format!("it expires {}", self.when(time, show)),
            },
            (None, Reason::UserDeactivated) => match &self.user {
                Some(user) => format!("it belongs to {}", user.username),
                None => String::new(),
            },
            (None, Reason::ParentInvalid) => match self.token.parent_id {
                Some(id) => format!("it was made with {id}"),
                None => "it has none".to_owned(),
            },
            (None, Reason::AddressNotAllowed) => self.used_from(),
            (None, Reason::ScopeMissing) => format!("it {}", self.does()),
            _ => String::new(),
        }
    }

    pub(super) fn fault(&self, condition: &Condition, show: Show<'_>) -> String {
        let done = |what: &str, time: Option<Timestamp>| match time {
            Some(time) => format!("it {what} {}", self.when(time, show)),
            None => format!("it {what}"),
        };
        match (&condition.using, condition.reason) {
            (Some(Use::Address(address)), _) => format!("it may not be used from {address}"),
            (Some(Use::Scope(scope)), _) => format!("it lacks the scope {scope}"),
            (None, Reason::TokenDeleted) => done("was deleted", self.token.delete_time),
            (None, Reason::TokenExpired) if self.token.successor_id.is_some() => {
                done("was rotated, and ended", self.token.expire_time)
            }
            (None, Reason::TokenExpired) => done("expired", self.token.expire_time),
            (None, Reason::TokenDisabled) => disabled(self.token.disabled).to_owned(),
            (None, Reason::UserDeactivated) => match &self.user {
                None => "its user was deleted".to_owned(),
                Some(user) => format!("its user is deactivated: {}", user.username),
            },
            (None, Reason::ParentInvalid) => match self.token.parent_id {
                Some(id) => format!("the token that it was made with is not valid: {id}"),
                None => "the token that it was made with is not valid".to_owned(),
            },
            (None, Reason::AddressNotAllowed) => {
                "its networks and those of the token that it was made with have nothing in common"
                    .to_owned()
            }
            (None, Reason::ScopeMissing) => {
                "its scopes and those of the token that it was made with have nothing in common"
                    .to_owned()
            }
            (None, other) => other.as_str().to_owned(),
        }
    }

    fn when(&self, time: Timestamp, show: Show<'_>) -> String {
        format!("at {}, {}", show(time), relative(time, self.now))
    }

    pub(super) fn does(&self) -> String {
        match &self.scopes {
            None => "may do nothing".to_owned(),
            Some(scopes) if scopes.is_empty() => "may do all that its user may".to_owned(),
            Some(scopes) => format!("is limited to the scopes {scopes}"),
        }
    }

    pub(super) fn used_from(&self) -> String {
        match &self.networks {
            None => "from nowhere".to_owned(),
            Some(networks) if networks.is_empty() => "from anywhere".to_owned(),
            Some(networks) => format!("from the networks {networks}"),
        }
    }
}

const fn disabled(by: Option<DisabledBy>) -> &'static str {
    match by {
        None | Some(DisabledBy::Owner) => "it is disabled",
        Some(DisabledBy::Admin) => "an admin disabled it, and only an admin enables it",
        Some(DisabledBy::Reuse) => {
            "it was disabled because a rotated secret of its family was used, and only an admin enables it"
        }
    }
}
