//! Tokens that were named to be revoked: pasted from wherever they leaked to, by ID or plaintext. A plaintext
//! counts by its secret, which the ID inside cannot stand for: anyone can write that.

use std::collections::BTreeSet;

use crate::{
    domain::{
        id::TokenId,
        secret::Secret,
        time::Timestamp,
        token::Token,
        token_text::{TokenHash, TokenText},
    },
    store::{
        Tx,
        tokens::{self, TokenFilter},
    },
};

use super::{
    super::super::{
        Error,
        authz::{Action, Relation},
        error::FieldError,
    },
    Revocation, Run, own,
};

/// How many tokens a call may name.
const MAX_NAMED: usize = 1_000;

/// What became of a token that was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is revoked, or would be.
    Revoked,
    /// It was deleted or had expired before.
    NotLive,
    /// It is not of the form, not there, or its secret is another.
    NotOurs,
    /// The filter does not select it.
    NotSelected,
    /// It is the caller's own, or the one that this was made with.
    Spared,
}

/// A text that was taken for a token.
enum Name {
    Id(TokenId),
    Plaintext(TokenId, TokenHash),
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        if let Some(id) = TokenId::parse(text) {
            return Some(Self::Id(id));
        }
        let text = TokenText::parse(text).ok()?;
        Some(Self::Plaintext(text.id(), text.hash()))
    }

    /// What is stored of it, if it is ours.
    fn find(&self, tx: &Tx<'_>) -> Result<Option<Token>, Error> {
        match self {
            Self::Id(id) => Ok(tokens::find(tx, *id)?),
            Self::Plaintext(id, hash) => {
                let found = tokens::find_credential(tx, *id)?;
                let found = found.filter(|credential| credential.hash.matches(hash));
                Ok(found.map(|credential| credential.lineage.token))
            }
        }
    }
}

/// That there are not too many.
pub(super) fn check(tokens: &[Secret]) -> Result<(), FieldError> {
    if tokens.len() > MAX_NAMED {
        let problem = format!("must be at most {MAX_NAMED}");
        return Err(FieldError::new("tokens", problem));
    }
    Ok(())
}

impl Run {
    /// The tokens that are named.
    pub(super) async fn named(mut self, tokens: &[Secret]) -> Result<Revocation, Error> {
        let names: Vec<_> = tokens
            .iter()
            .map(|text| Name::parse(text.expose()))
            .collect();
        let (filter, now, own) = (self.filter.clone(), self.app.now(), own(&self.caller));
        let judged = self
            .app
            .read_as(&self.caller, move |tx, caller| {
                caller.may(Action::RevokeTokens, Relation::OtherPerson)?;
                let judge = |name: &Option<Name>| judge(tx, name.as_ref(), &filter, &own, now);
                names.iter().map(judge).collect::<Result<Vec<_>, Error>>()
            })
            .await?;
        let mut seen = BTreeSet::new();
        let mut selected = Vec::new();
        for (outcome, token) in judged {
            self.done.spared_own |= outcome == Outcome::Spared;
            self.done.outcomes.push(outcome);
            // Once, however often it was pasted.
            selected.extend(token.filter(|token| seen.insert(token.id)));
        }
        // A child before its parent, so that it is counted for itself.
        selected.sort_by_key(|token| std::cmp::Reverse(token.id));
        self.take(selected).await?;
        Ok(self.done)
    }
}

/// What is to become of a name; with the token, where that is to be revoked.
fn judge(
    tx: &Tx<'_>,
    name: Option<&Name>,
    filter: &TokenFilter,
    own: &[TokenId],
    now: Timestamp,
) -> Result<(Outcome, Option<Token>), Error> {
    let found = match name {
        Some(name) => name.find(tx)?,
        None => None,
    };
    let Some(token) = found else {
        return Ok((Outcome::NotOurs, None));
    };
    if !token.is_live(now) {
        return Ok((Outcome::NotLive, None));
    }
    if tokens::find_selected(tx, filter, now, token.id)?.is_none() {
        return Ok((Outcome::NotSelected, None));
    }
    if own.contains(&token.id) {
        return Ok((Outcome::Spared, None));
    }
    Ok((Outcome::Revoked, Some(token)))
}
