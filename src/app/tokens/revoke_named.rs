//! Revokes tokens that the request names by ID or plaintext, usually pasted from where they leaked. A plaintext counts
//! only if its secret is right, because anyone can make up a plaintext with a known ID.

use std::collections::BTreeSet;

use crate::{
    domain::{
        id::TokenId, presented_token::PresentedToken, secret::Secret, time::Timestamp, token::Token,
    },
    store::{
        Tx,
        tokens::{self, TokenFilter},
    },
};

use super::{
    super::{
        Error,
        authz::{Action, Relation},
        error::FieldError,
    },
    own_and_parent,
    revocation::{Revocation, Run, TokenOutcome},
    undo_rotation::may_return,
};

/// Maximum number of tokens that a call may name.
const MAX_NAMED: usize = 1_000;

/// A text of the request that names a token.
#[derive(Clone, Copy)]
enum Name {
    Id(TokenId),
    Plaintext(PresentedToken),
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        if let Some(id) = TokenId::from_paste(text) {
            return Some(Self::Id(id));
        }
        PresentedToken::from_paste(text).ok().map(Self::Plaintext)
    }

    const fn id(&self) -> TokenId {
        match self {
            Self::Id(id) => *id,
            Self::Plaintext(token) => token.id(),
        }
    }
}

/// Enforces the maximum.
pub(super) fn check(tokens: &[Secret]) -> Result<(), FieldError> {
    if tokens.len() > MAX_NAMED {
        let problem = format!("must be at most {MAX_NAMED}: name the others in further calls");
        return Err(FieldError::new("tokens", problem));
    }
    Ok(())
}

impl Run {
    /// Revokes the named tokens.
    pub(super) async fn named(mut self, tokens: &[Secret]) -> Result<Revocation, Error> {
        let names: Vec<_> = tokens
            .iter()
            .map(|text| Name::parse(text.expose()))
            .collect();
        let (filter, now, own) = (
            self.filter.clone(),
            self.app.now(),
            own_and_parent(&self.caller),
        );
        let requested = names.clone();
        let outcomes = self
            .app
            .read_as(&self.caller, move |tx, caller| {
                caller.may(Action::RevokeTokens, Relation::OtherPerson)?;
                let outcome =
                    |name: &Option<Name>| outcome_of(tx, name.as_ref(), &filter, &own, now);
                requested
                    .iter()
                    .map(outcome)
                    .collect::<Result<Vec<_>, Error>>()
            })
            .await?;
        let mut seen = BTreeSet::new();
        let (mut selected, mut returning) = (Vec::new(), Vec::new());
        let mut leaked = BTreeSet::new();
        for (name, (outcome, token)) in names.into_iter().zip(outcomes) {
            self.done.spared_own |= outcome == TokenOutcome::Spared;
            self.done
                .outcomes
                .push((name.as_ref().map(Name::id), outcome));
            if outcome == TokenOutcome::NotLive {
                returning.extend(token.map(|token| token.id));
                continue;
            }
            if let (Some(Name::Plaintext(_)), Some(token)) = (name, &token) {
                leaked.insert(token.family_id);
            }
            // Each token once, however often it was pasted.
            selected.extend(token.filter(|token| seen.insert(token.id)));
        }
        // Newest first, so that a named child comes before its parent and counts as selected.
        selected.sort_by_key(|token| std::cmp::Reverse(token.id));
        if !self.is_dry {
            let action = Action::RevokeTokens;
            self.app
                .end_for_good(&self.caller, action, returning)
                .await?;
            self.revoke_families(leaked, &seen).await?;
        }
        self.take(selected).await?;
        Ok(self.done)
    }

    /// Revokes the families of plaintexts. Revoked tokens that are also `named` count as selected, the others as family
    /// or children.
    async fn revoke_families(
        &mut self,
        leaked: BTreeSet<TokenId>,
        named: &BTreeSet<TokenId>,
    ) -> Result<(), Error> {
        let own_family = self.caller.token().map(|token| token.family_id);
        self.done.spared_own |= own_family.is_some_and(|family| leaked.contains(&family));
        let action = Action::RevokeTokens;
        let revoked = self.app.revoke_families(&self.caller, action, leaked, true);
        let revoked = revoked.await?;
        let count = |ids: &[TokenId], is_named: bool| {
            let ids = ids.iter().filter(|id| named.contains(id) == is_named);
            u32::try_from(ids.count()).unwrap_or(u32::MAX)
        };
        self.done.tokens += count(&revoked.members, true) + count(&revoked.children, true);
        self.done.family += count(&revoked.members, false);
        self.done.children += count(&revoked.children, false);
        Ok(())
    }
}

/// The outcome for one name, with the token if it is to be revoked, or could be valid again.
fn outcome_of(
    tx: &Tx<'_>,
    name: Option<&Name>,
    filter: &TokenFilter,
    own: &[TokenId],
    now: Timestamp,
) -> Result<(TokenOutcome, Option<Token>), Error> {
    let found = match name {
        None => return Ok((TokenOutcome::Malformed, None)),
        Some(Name::Id(id)) => tokens::find(tx, *id)?,
        Some(Name::Plaintext(presented)) => match tokens::find_credential(tx, presented.id())? {
            Some(found) if !found.hash.matches(presented.hash()) => {
                return Ok((TokenOutcome::OtherSecret, None));
            }
            found => found.map(|found| found.lineage.token),
        },
    };
    let Some(token) = found else {
        return Ok((TokenOutcome::NotOurs, None));
    };
    if !token.is_live(now) {
        let returning = may_return(&token, now).then_some(token);
        return Ok((TokenOutcome::NotLive, returning));
    }
    if tokens::find_selected(tx, filter, now, token.id)?.is_none() {
        return Ok((TokenOutcome::NotSelected, None));
    }
    if own.contains(&token.id) {
        return Ok((TokenOutcome::Spared, None));
    }
    Ok((TokenOutcome::Revoked, Some(token)))
}
