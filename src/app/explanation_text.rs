//! An explanation in words for people: each condition, worded so that "yes" is good, with the details behind its
//! result, and the whole explanation in sentences.

use crate::domain::{
    reason::Reason,
    relative::relative,
    time::Timestamp,
    token::{DisabledBy, LastUse, Token},
};

use super::explain::{Condition, CredentialKind, Explanation, TokenCreation, Use};

/// Formats a time.
type Show<'a> = &'a dyn Fn(Timestamp) -> String;

impl Condition {
    /// What was checked, as a phrase that "yes" or "no" answers: `not revoked`.
    pub fn checked(&self) -> String {
        match (&self.using, self.reason) {
            (Some(Use::Address(address)), _) => format!("allowed from {address}"),
            (Some(Use::Scope(scope)), _) => format!("has the scope {scope}"),
            (None, Reason::TokenDeleted) => "not revoked".to_owned(),
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

    fn fault(&self, condition: &Condition, show: Show<'_>) -> String {
        let done = |what: &str, time: Option<Timestamp>| match time {
            Some(time) => format!("it {what} {}", self.when(time, show)),
            None => format!("it {what}"),
        };
        match (&condition.using, condition.reason) {
            (Some(Use::Address(address)), _) => format!("it may not be used from {address}"),
            (Some(Use::Scope(scope)), _) => format!("it lacks the scope {scope}"),
            (None, Reason::TokenDeleted) => done("was revoked", self.token.delete_time),
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

    fn does(&self) -> String {
        match &self.scopes {
            None => "may do nothing".to_owned(),
            Some(scopes) if scopes.is_empty() => "may do all that its user may".to_owned(),
            Some(scopes) => format!("is limited to the scopes {scopes}"),
        }
    }

    fn used_from(&self) -> String {
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
        Some(DisabledBy::Admin) => "an admin disabled it, and only an admin may enable it",
        Some(DisabledBy::Reuse) => {
            "it was disabled because a rotated secret of its family was used, and only an admin may enable it"
        }
    }
}

impl Explanation {
    /// The explanation as sentences, most important first, with times formatted by `show`. It leaves out the note.
    pub fn sentences(&self, show: impl Fn(Timestamp) -> String) -> Vec<String> {
        let show: Show<'_> = &show;
        let mut sentences = vec![self.verdict(show), self.owner()];
        sentences.extend(self.creation.as_ref().map(|creation| made(creation, show)));
        sentences.extend(self.family_sentences(show));
        sentences.push(self.limits());
        sentences.push(match &self.token.last_use {
            None => {
                "No use of it is on record; one of the last minute may not be written down yet."
                    .to_owned()
            }
            Some(last) => format!("It was last used {}.", used(last, show)),
        });
        if self.live_children > 0 {
            let number = self.live_children;
            sentences.push(format!("Live tokens that were made with it: {number}."));
        }
        sentences.extend(self.ending_sentences(show));
        sentences
    }

    fn verdict(&self, show: Show<'_>) -> String {
        let broken = self.conditions.iter().filter(|condition| !condition.holds);
        let broken: Vec<_> = broken.map(|c| self.fault(c, show)).collect();
        if broken.is_empty() {
            "The token is valid.".to_owned()
        } else {
            format!("The token is not valid: {}.", broken.join("; "))
        }
    }

    fn owner(&self) -> String {
        match &self.user {
            Some(user) => format!("It belongs to {}.", user.username),
            None => format!("It belonged to the user {}.", self.token.user_id),
        }
    }

    /// Sentences about the token's predecessor and successor.
    fn family_sentences(&self, show: Show<'_>) -> Vec<String> {
        let id = self.token.id;
        let mut before = self.family.iter();
        let before = before.find(|token| token.successor_id == Some(id));
        let mut sentences: Vec<_> = before
            .map(|token| self.predecessor(token, show))
            .into_iter()
            .collect();
        if let Some(successor) = self.token.successor_id {
            sentences.push(format!("It was rotated: {successor} took over."));
        }
        sentences
    }

    fn predecessor(&self, token: &Token, show: Show<'_>) -> String {
        let state = match (token.delete_time, token.expire_time) {
            (Some(time), _) => format!("was revoked at {}", show(time)),
            (None, Some(time)) if time <= self.now => format!("expired at {}", show(time)),
            (None, Some(time)) => format!("stays valid until {}", show(time)),
            (None, None) => "stays valid".to_owned(),
        };
        let used = match &token.last_use {
            None => "no use of the old secret is on record".to_owned(),
            Some(last) => format!("the old secret was last used {}", used(last, show)),
        };
        format!("It took over from {}, which {state}; {used}.", token.id)
    }

    fn limits(&self) -> String {
        format!("It {}, {}.", self.does(), self.used_from())
    }

    fn ending_sentences(&self, show: Show<'_>) -> Vec<String> {
        if !self.token.is_live(self.now) {
            return Vec::new();
        }
        let ending = |reason| match (reason, self.token.successor_id) {
            (Reason::ParentInvalid, _) => "the token that it was made with expires",
            (_, Some(_)) => "its grace period or its lifetime ends",
            (_, None) => "it expires",
        };
        let mut sentences: Vec<_> = self
            .endings
            .iter()
            .map(|end| format!("At {}, {}.", show(end.time), ending(end.reason)))
            .collect();
        if self.endings.is_empty() {
            sentences.push("It never expires.".to_owned());
        }
        let parent = match self.token.parent_id {
            Some(_) => ", or when any of this happens to the token that it was made with",
            None => "",
        };
        sentences.push(format!(
            "It also becomes invalid when it is revoked or disabled, or when its user is deactivated or deleted{parent}."
        ));
        sentences
    }
}

fn made(creation: &TokenCreation, show: Show<'_>) -> String {
    let name = creation.username.as_ref().map(ToString::to_string);
    let by = name.unwrap_or_else(|| creation.actor.clone());
    let with = match &creation.credential {
        CredentialKind::Password => " with a password".to_owned(),
        CredentialKind::Token(id) => format!(" with the token {id}"),
        CredentialKind::Local => " on the server's machine".to_owned(),
    };
    let how = if creation.rotated { "by rotation " } else { "" };
    format!("It was made {how}at {} by {by}{with}.", show(creation.time))
}

fn used(last: &LastUse, show: Show<'_>) -> String {
    let from = last.ip.map(|ip| format!(" from {ip}"));
    let says = last.reporter_ip.map(|ip| format!(", says {ip}"));
    format!(
        "at {}{}{}",
        show(last.time),
        from.unwrap_or_default(),
        says.unwrap_or_default()
    )
}
