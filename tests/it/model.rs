//! The model: the rules for tokens, written as simply as possible.

use std::time::Duration;

use hallpass::domain::{reason::Reason, time::Timestamp};

/// A person, who owns [`ROBOT`].
pub(crate) const OWNER: usize = 0;
/// A machine. The third user is another person.
pub(crate) const ROBOT: usize = 1;

pub(crate) struct Model {
    pub(crate) now: Timestamp,
    pub(crate) active: [bool; 3],
    tokens: Vec<Token>,
}

#[derive(Clone, Copy)]
struct Token {
    user: usize,
    parent: Option<usize>,
    made: Timestamp,
    expires: Option<Timestamp>,
    deleted: bool,
    disabled: bool,
    rotated: bool,
    /// The first token of a family.
    family: usize,
}

impl Model {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            active: [true; 3],
            tokens: Vec::new(),
        }
    }

    pub(crate) fn after(&self, secs: u8) -> Timestamp {
        self.now.plus(Duration::from_secs(secs.into()))
    }

    fn live(&self, token: &Token) -> bool {
        !token.deleted && token.expires.is_none_or(|end| self.now < end)
    }

    /// Whether a token is valid, or the reason why not.
    pub(crate) fn check(&self, token: usize) -> Result<(), Reason> {
        let token = &self.tokens[token];
        if token.deleted {
            Err(Reason::TokenDeleted)
        } else if !self.live(token) {
            Err(Reason::TokenExpired)
        } else if token.disabled {
            Err(Reason::TokenDisabled)
        } else if !self.active[token.user] {
            Err(Reason::UserDeactivated)
        } else if token
            .parent
            .is_some_and(|parent| self.check(parent).is_err())
        {
            Err(Reason::ParentInvalid)
        } else {
            Ok(())
        }
    }

    /// Whether `user` may act on data of `other`.
    fn reaches(user: usize, other: usize) -> bool {
        user == other || (user == OWNER && other == ROBOT)
    }

    /// Creates a token for `user`, with the valid token `parent` or from the command line.
    pub(crate) fn create(
        &mut self,
        user: usize,
        parent: Option<usize>,
        ttl_secs: Option<u8>,
    ) -> Result<(), Reason> {
        let expires = ttl_secs.map(|ttl| self.after(ttl));
        if let Some(by) = parent.map(|parent| &self.tokens[parent]) {
            if by.parent.is_some() {
                return Err(Reason::LineageTooDeep);
            }
            if !Self::reaches(by.user, user) {
                return Err(Reason::PermissionDenied);
            }
        }
        if !self.active[user] {
            return Err(Reason::TargetDeactivated);
        }
        if let Some(end) = parent.and_then(|parent| self.tokens[parent].expires)
            && expires.is_none_or(|expires| expires > end)
        {
            return Err(Reason::OutlivesParent);
        }
        self.tokens.push(Token {
            user,
            parent,
            made: self.now,
            expires,
            deleted: false,
            disabled: false,
            rotated: false,
            family: self.tokens.len(),
        });
        Ok(())
    }

    /// Rotates a token, with the valid token `by`.
    pub(crate) fn rotate(&mut self, by: usize, token: usize, grace: u8) -> Result<(), Reason> {
        let (number, now) = (self.tokens.len(), self.now);
        let (caller, old) = (&self.tokens[by], &self.tokens[token]);
        if caller.parent.is_some() && by != token {
            return Err(Reason::LineageTooDeep);
        }
        if !Self::reaches(caller.user, old.user) || old.deleted {
            return Err(Reason::TokenNotFound);
        }
        self.check(token).map_err(|reason| match reason {
            Reason::UserDeactivated => Reason::TargetDeactivated,
            reason => reason,
        })?;
        let anew = old.expires.map(|end| now.plus(end.since(old.made)));
        let parents = old.parent.and_then(|parent| self.tokens[parent].expires);
        let expires = anew.into_iter().chain(parents).min();
        let bound = by != token && old.parent != Some(by);
        if bound
            && caller
                .expires
                .is_some_and(|end| expires.is_none_or(|it| it > end))
        {
            return Err(Reason::OutlivesParent);
        }
        if old.rotated {
            return Err(Reason::AlreadyRotated);
        }
        let family = old.family;
        let members = self.tokens.iter().filter(|one| one.family == family);
        if grace > 0 && members.filter(|one| self.live(one)).count() >= 8 {
            return Err(Reason::TooManyTokens);
        }
        let successor = Token {
            made: now,
            expires,
            ..*old
        };
        let end = self.after(grace);
        for child in 0..number {
            if self.tokens[child].parent == Some(token) && self.live(&self.tokens[child]) {
                self.tokens[child].parent = Some(number);
            }
        }
        let old = &mut self.tokens[token];
        old.rotated = true;
        old.deleted = grace == 0;
        if grace > 0 {
            old.expires = Some(old.expires.map_or(end, |own| own.min(end)));
        }
        self.tokens.push(successor);
        Ok(())
    }

    /// Disables or enables a token from the command line.
    pub(crate) fn set_disabled(&mut self, token: usize, disabled: bool) -> Result<(), Reason> {
        let live = self.live(&self.tokens[token]);
        let token = &mut self.tokens[token];
        if token.deleted {
            return Err(Reason::TokenNotFound);
        }
        if !live {
            return Err(Reason::TokenExpired);
        }
        token.disabled = disabled;
        Ok(())
    }

    pub(crate) fn get(&self, by: usize, token: usize) -> Result<(), Reason> {
        let (by, token) = (&self.tokens[by], &self.tokens[token]);
        if token.deleted || !Self::reaches(by.user, token.user) {
            return Err(Reason::TokenNotFound);
        }
        Ok(())
    }

    /// The creation times and numbers of `user`'s live tokens, or of all of them.
    pub(crate) fn list(
        &self,
        by: usize,
        user: usize,
        include_ended: bool,
    ) -> Result<Vec<(Timestamp, usize)>, Reason> {
        if !Self::reaches(self.tokens[by].user, user) {
            return Err(Reason::PermissionDenied);
        }
        let tokens = self.tokens.iter().enumerate();
        let listed =
            tokens.filter(|(_, token)| token.user == user && (include_ended || self.live(token)));
        Ok(listed.map(|(number, token)| (token.made, number)).collect())
    }

    /// Deletes a token and its live children; returns the number of children.
    pub(crate) fn delete(&mut self, by: usize, token: usize) -> Result<u32, Reason> {
        if !Self::reaches(self.tokens[by].user, self.tokens[token].user) {
            return Err(Reason::TokenNotFound);
        }
        if self.tokens[token].deleted {
            return Ok(0);
        }
        self.tokens[token].deleted = true;
        let mut children = 0;
        for child in 0..self.tokens.len() {
            if self.tokens[child].parent == Some(token) && self.live(&self.tokens[child]) {
                self.tokens[child].deleted = true;
                children += 1;
            }
        }
        Ok(children)
    }
}
