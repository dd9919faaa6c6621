//! Rotates a token: a successor takes its place.
//!
//! Whoever rotates a token learns a secret that acts for the token's user. So the rules for creating tokens apply:
//! nobody rotates another person's tokens, and no token can obtain one that may do more than itself.

use crate::{
    domain::{
        id::TokenId,
        lifetime::{self, LifetimeLimits},
        reason::Reason,
        rotation::{self, AlreadyRotated, Grace, MAX_LIVE_FAMILY, Rotation},
        time::Timestamp,
        token::{Invalid, Lineage, Token},
        token_text::TokenText,
    },
    store::{
        Tx, audit,
        tokens::{self, Credential},
    },
};

use super::{
    super::{
        App, Error,
        authz::{self, Action},
        caller::Caller,
        error::{Checked, FieldError, Unauthenticated},
        permit::Permit,
    },
    create::{target_deactivated, too_many},
    find_target, is_itself, parse_expire_time, parse_token_id,
};

/// A request to rotate a token, not yet checked.
#[derive(Clone, Debug, Default)]
pub struct RotateToken {
    /// The token to rotate.
    pub token_id: String,
    /// How long it stays valid, in seconds and nanoseconds; `None`: it is revoked at once.
    pub grace_period: Option<(i64, i32)>,
    /// The successor's expiry time in seconds and nanoseconds; `None`: the predecessor's lifetime again, or less if a
    /// limit is shorter.
    pub expire_time: Option<(i64, i32)>,
    /// The successor never expires. `expire_time` must be `None` then.
    pub never_expires: bool,
}

/// A rotated token. The successor's plaintext is known only here.
#[derive(Clone, Debug)]
pub struct RotatedToken {
    /// The successor's plaintext.
    pub text: TokenText,
    /// The stored successor.
    pub token: Token,
    /// The rotated token, after the rotation.
    pub predecessor: Token,
}

/// The checked fields of a request.
#[derive(Clone, Copy, Debug)]
struct Draft {
    grace: Grace,
    expire_time: Option<Timestamp>,
    never_expires: bool,
}

impl App {
    /// Replaces a valid token with a successor.
    ///
    /// The order of checks is authorisation, fields, state, quota.
    pub async fn rotate_token(
        &self,
        caller: &Caller,
        request: RotateToken,
    ) -> Result<RotatedToken, Error> {
        authz::admit(caller, Action::RotateToken)?;
        // A token that rotates itself only continues as its successor, so it is not refused as a token that creates
        // tokens.
        if !is_itself(caller, &request.token_id) {
            self.check_generation(caller)?;
        }
        let old = parse_token_id(&request.token_id)?;
        let now = self.now();
        let id = TokenId::generate(now);
        let text = TokenText::generate(&self.options().token_prefix, id);
        let hash = text.hash();
        let draft = Draft::parse(&request, now);
        let (app, caller) = (self.clone(), caller.clone());
        let rotation = self
            .write(move |tx| {
                let caller = caller.refresh(tx, now)?;
                let (found, permit) = find_target(tx, &caller, Action::RotateToken, old)?;
                let rotation = app.rotation(tx, &caller, found, id, draft.clone()?, now)?;
                tokens::insert(tx, &rotation.successor, &hash)?;
                replace(tx, &permit, &rotation, now)?;
                Ok::<_, Error>(rotation)
            })
            .await?;
        Ok(RotatedToken {
            text,
            token: rotation.successor,
            predecessor: rotation.predecessor,
        })
    }

    fn rotation(
        &self,
        tx: &Tx<'_>,
        caller: &Caller,
        Credential { lineage, user, .. }: Credential,
        id: TokenId,
        draft: Draft,
        now: Timestamp,
    ) -> Result<Rotation, Error> {
        check_valid(&lineage, now)?;
        let user = user.as_ref().ok_or_else(target_deactivated)?;
        let policy = self.options().lifetime_of(user);
        let limits = policy.limits(lineage.parent_token().and_then(|parent| parent.expire_time));
        let token = lineage.token;
        let expire_time = draft
            .expire_time
            .or_else(|| rotation::default_expiry(&token, now, limits))
            .or_else(|| policy.default_expiry(now).filter(|_| policy.must_expire))
            .filter(|_| !draft.never_expires);
        let limits = limits_of(caller, &token, limits)?;
        lifetime::check(expire_time, now, limits)?;
        let family = token.family_id;
        let rotation = Rotation::new(token, id, expire_time, draft.grace, now)?;
        if !draft.grace.is_none() && tokens::count_live_family(tx, family, now)? >= MAX_LIVE_FAMILY
        {
            return Err(too_many(format!(
                "{MAX_LIVE_FAMILY} tokens of this family are live, the maximum: revoke a predecessor first"
            )));
        }
        Ok(rotation)
    }
}

/// Only a valid token can be rotated: the successor of an invalid one would have its faults.
fn check_valid(lineage: &Lineage, now: Timestamp) -> Result<(), Error> {
    match lineage.check(now, None) {
        Ok(()) => Ok(()),
        Err(Invalid::UserDeactivated) => Err(target_deactivated()),
        Err(invalid) => Err(Error::Precondition {
            reason: Unauthenticated::Invalid(invalid).reason(),
            problem: format!("only a valid token can be rotated: {invalid}"),
        }),
    }
}

/// The limits on the successor's lifetime, if the caller's token may create such a token at all. A child is limited by
/// its parent, whoever rotates it. A token that rotates itself cannot exceed the lifetime it was created with. Any
/// other token is also limited by the token that rotates it.
fn limits_of(
    caller: &Caller,
    token: &Token,
    limits: LifetimeLimits,
) -> Result<LifetimeLimits, Error> {
    let Some(by) = caller.token() else {
        return Ok(limits);
    };
    if by.id == token.id {
        let max_ttl = token.lifetime().into_iter().chain(limits.max_ttl).min();
        return Ok(LifetimeLimits { max_ttl, ..limits });
    }
    if token.parent_id == Some(by.id) {
        return Ok(limits);
    }
    let exceeds = |what: &str| Error::Precondition {
        reason: Reason::ExceedsParent,
        problem: format!("the token's {what} are not within those of the token that rotates it"),
    };
    if !token.scopes.is_within(&by.scopes) {
        return Err(exceeds("scopes"));
    }
    if !token.allowed_cidrs.is_within(&by.allowed_cidrs) {
        return Err(exceeds("networks"));
    }
    let parent_expires = limits.parent_expires.into_iter();
    let parent_expires = parent_expires.chain(by.expire_time).min();
    Ok(LifetimeLimits {
        parent_expires,
        ..limits
    })
}

/// Puts the stored successor in the predecessor's place, with an audit row.
fn replace(
    tx: &Tx<'_>,
    permit: &Permit<'_>,
    rotation: &Rotation,
    now: Timestamp,
) -> Result<(), Error> {
    let Rotation {
        successor,
        predecessor,
    } = rotation;
    if !tokens::mark_rotated(tx, predecessor)? {
        return Err(AlreadyRotated.into());
    }
    tokens::move_live_children(tx, predecessor.id, successor.id, now)?;
    let mut event = permit.event(now, predecessor.id);
    event.successor_id = successor.id.to_string();
    audit::append(tx, event)?;
    Ok(())
}

impl Draft {
    fn parse(request: &RotateToken, now: Timestamp) -> Checked<Self> {
        let grace = match request.grace_period {
            None => Grace::default(),
            Some((seconds, nanos)) => Grace::parse(seconds, nanos)
                .map_err(|error| FieldError::new("grace_period", error))?,
        };
        let expire_time = parse_expire_time(request.expire_time, now)?;
        let never_expires = request.never_expires;
        if never_expires && expire_time.is_some() {
            let problem = "must be false where expire_time is set";
            return Err(FieldError::new("never_expires", problem));
        }
        Ok(Self {
            grace,
            expire_time,
            never_expires,
        })
    }
}

impl From<AlreadyRotated> for Error {
    fn from(error: AlreadyRotated) -> Self {
        Self::Precondition {
            reason: Reason::AlreadyRotated,
            problem: error.to_string(),
        }
    }
}
