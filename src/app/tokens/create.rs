//! Creates tokens.

use crate::{
    domain::{
        cidr::CidrSet, id::TokenId, lifetime, note::Note, reason::Reason, scope::ScopeSet,
        time::Timestamp, token::Token, token_text::TokenText, user::User,
    },
    store::{Tx, audit, tokens},
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        bootstrap_token,
        caller::Caller,
        error::FieldError,
        permit::{CallerInTx, Permit},
        users,
    },
    parse_cidrs, parse_expire_time, parse_note, parse_scopes,
};

/// A request to create a token, not yet checked.
#[derive(Clone, Debug, Default)]
pub struct CreateToken {
    /// A note that tells people what the token is for.
    pub note: String,
    /// The expiry time in seconds and nanoseconds; `None`: the default lifetime for that kind of user.
    pub expire_time: Option<(i64, i32)>,
    /// Never expires, whatever the default is. `expire_time` must be `None` then.
    pub never_expires: bool,
    /// The user to create it for; empty: the caller.
    pub user_id: String,
    /// The scopes that it is limited to.
    pub scopes: Vec<String>,
    /// The CIDR ranges that it may be used from.
    pub allowed_cidrs: Vec<String>,
}

/// A new token. Its plaintext is known only here.
#[derive(Clone, Debug)]
pub struct CreatedToken {
    /// The plaintext.
    pub text: TokenText,
    /// The stored token.
    pub token: Token,
}

/// The checked fields of a request.
#[derive(Clone, Debug)]
struct Draft {
    note: Note,
    expire_time: Option<Timestamp>,
    never_expires: bool,
    scopes: ScopeSet,
    allowed_cidrs: CidrSet,
}

impl App {
    /// Creates a token for the caller or a machine user.
    ///
    /// The order of checks is authorisation, fields, state, quota.
    pub async fn create_token(
        &self,
        caller: &Caller,
        request: CreateToken,
    ) -> Result<CreatedToken, Error> {
        let now = self.now();
        let id = TokenId::generate(now);
        let text = TokenText::generate(&self.options().token_prefix, id);
        let hash = text.hash();
        let draft = Draft::parse(&request, now);
        let (app, caller) = (self.clone(), caller.clone());
        let token = self
            .write(move |tx| {
                let caller = caller.refresh(tx, now)?;
                let (user, permit) = app.target(tx, &caller, &request.user_id)?;
                let token = app.draft(tx, &caller, &user, id, draft.clone()?, now)?;
                tokens::insert(tx, &token, &hash)?;
                audit::append(tx, permit.event(now, id))?;
                Ok::<_, Error>(token)
            })
            .await?;
        Ok(CreatedToken { text, token })
    }

    /// The user that the token is for, if the caller may create tokens for it.
    ///
    /// For any other, the error does not tell whether the user exists, except to admins.
    fn target<'a>(
        &self,
        tx: &Tx<'_>,
        caller: &'a CallerInTx<'_>,
        user_id: &str,
    ) -> Result<(User, Permit<'a>), Error> {
        authz::admit(caller, Action::CreateToken)?;
        self.check_generation(caller)?;
        if user_id.is_empty() {
            let own = caller.user().cloned();
            let own = own.ok_or_else(|| FieldError::new("user_id", "is required"))?;
            return Ok((own, caller.may(Action::CreateToken, Relation::Oneself)?));
        }
        users::find_permitted(tx, caller, Action::CreateToken, user_id)?.or_denied(caller)
    }

    fn draft(
        &self,
        tx: &Tx<'_>,
        caller: &Caller,
        user: &User,
        id: TokenId,
        draft: Draft,
        now: Timestamp,
    ) -> Result<Token, Error> {
        if user.deactivated {
            return Err(target_deactivated());
        }
        let parent = match caller.token() {
            Some(_) if bootstrap_token::is_caller(tx, caller)? => None,
            parent => parent,
        };
        let policy = self.options().lifetime_of(user);
        let expire_time = match draft.expire_time {
            None if !draft.never_expires => policy.default_expiry(now),
            asked => asked,
        };
        let limits = policy.limits(parent.and_then(|parent| parent.expire_time));
        lifetime::check(expire_time, now, limits)?;
        let (scopes, allowed_cidrs) = match parent {
            Some(parent) => within_parent(parent, draft.scopes, draft.allowed_cidrs)?,
            None => (draft.scopes, draft.allowed_cidrs),
        };

        let max = u64::from(self.options().max_tokens_per_user);
        if tokens::count_live(tx, user.id, now)? >= max {
            return Err(too_many(format!(
                "the user already has {max} live tokens, the maximum: revoke some first"
            )));
        }
        if let Some(parent) = parent
            && tokens::count_live_children(tx, parent.id, now)? >= max
        {
            return Err(too_many(format!(
                "this token already has {max} live children, the maximum"
            )));
        }
        Ok(Token {
            id,
            user_id: user.id,
            note: draft.note,
            scopes,
            allowed_cidrs,
            create_time: now,
            expire_time,
            disabled: None,
            parent_id: parent.map(|parent| parent.id),
            family_id: id,
            delete_time: None,
            successor_id: None,
            last_use: None,
            reuse_time: None,
        })
    }
}

impl Draft {
    fn parse(request: &CreateToken, now: Timestamp) -> Result<Self, FieldError> {
        if request.never_expires && request.expire_time.is_some() {
            let problem = "must not be set beside expire_time";
            return Err(FieldError::new("never_expires", problem));
        }
        Ok(Self {
            note: parse_note(&request.note)?,
            expire_time: parse_expire_time(request.expire_time, now)?,
            never_expires: request.never_expires,
            scopes: parse_scopes(&request.scopes)?,
            allowed_cidrs: parse_cidrs(&request.allowed_cidrs)?,
        })
    }
}

/// The scopes and CIDRs of a child of `parent`. What was requested must be within the parent's; what was not
/// requested is inherited.
fn within_parent(
    parent: &Token,
    scopes: ScopeSet,
    cidrs: CidrSet,
) -> Result<(ScopeSet, CidrSet), Error> {
    let exceeds = |what: &str, allowed: &dyn std::fmt::Display| Error::Precondition {
        reason: Reason::ExceedsParent,
        problem: format!("the {what} must be within those of the token it is made with: {allowed}"),
    };
    let scopes = if scopes.is_empty() {
        parent.scopes.clone()
    } else {
        scopes
    };
    if !scopes.is_within(&parent.scopes) {
        return Err(exceeds("scopes", &parent.scopes));
    }
    let cidrs = if cidrs.is_empty() {
        parent.allowed_cidrs.clone()
    } else {
        cidrs
    };
    if !cidrs.is_within(&parent.allowed_cidrs) {
        return Err(exceeds("networks", &parent.allowed_cidrs));
    }
    Ok((scopes, cidrs))
}

pub(super) fn target_deactivated() -> Error {
    Error::Precondition {
        reason: Reason::TargetDeactivated,
        problem: "the user is deactivated: reactivate it first".to_owned(),
    }
}

pub(super) fn too_many(problem: String) -> Error {
    Error::Quota {
        reason: Reason::TooManyTokens,
        problem,
    }
}
