//! Authentication: checks tokens and passwords.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use crate::{
    domain::{
        id::UserId,
        presented_token::PresentedToken,
        secret::Secret,
        token::LastUse,
        user::{User, Username},
    },
    store::users,
};

use super::{
    App, Error,
    caller::{Caller, ClientInfo},
    error::{Denied, Unauthenticated},
    limits::{Attempt, whole_seconds},
    passwords::{HashQueue, HasherError, PasswordCheck, PasswordHash},
};

/// What the lookup and the password check of a sign-in found.
struct Checked {
    /// The user with that name, even one who may not sign in.
    account: Option<UserId>,
    /// The same user, if it may sign in.
    user: Option<User>,
    stored: Option<PasswordHash>,
    verdict: PasswordCheck,
}

impl App {
    /// Authenticates a bearer token.
    pub async fn authenticate(
        &self,
        bearer: &str,
        client: &Arc<ClientInfo>,
    ) -> Result<Caller, Error> {
        let checked = self.check_bearer(bearer, client).await;
        let result = checked.as_ref().map_or_else(Error::result, |_| "ok");
        self.metrics().authentication(result);
        checked
    }

    async fn check_bearer(&self, bearer: &str, client: &Arc<ClientInfo>) -> Result<Caller, Error> {
        let presented = PresentedToken::parse(bearer).map_err(Unauthenticated::from)?;
        match self.check_token(presented, client).await {
            Err(Error::Unauthenticated(refusal)) => {
                let id = presented.id();
                self.0
                    .shared
                    .failed_auth
                    .token(self.now(), refusal, id, client);
                Err(refusal.into())
            }
            other => other,
        }
    }

    async fn check_token(
        &self,
        presented: PresentedToken,
        client: &Arc<ClientInfo>,
    ) -> Result<Caller, Error> {
        let known = self.find_credential(presented).await?;
        let now = self.now();
        let token = &known.credential.lineage.token;
        self.watch_reuse(token, client, client.ip).await;
        let caller = Caller::by_token(known, now, Arc::clone(client))?;
        let last_use = LastUse::seen(now, client.ip);
        self.0.shared.last_uses.note(presented.id(), last_use);
        Ok(caller)
    }

    /// Checks a caller again after something slow, such as reading the body: it sees every change that was acknowledged
    /// before this call. It hashes nothing, and reads the store only if the credential may have changed.
    ///
    /// # Errors
    /// The credential is no longer valid, or the store failed.
    pub async fn recheck(&self, caller: &Caller) -> Result<Caller, Error> {
        let again = self.reload_caller(caller).await;
        if let Err(error) = &again {
            self.metrics().authentication(error.result());
        }
        if let (Err(Error::Unauthenticated(refusal)), Some(token)) = (&again, caller.token()) {
            let now = self.now();
            self.0
                .shared
                .failed_auth
                .token(now, *refusal, token.id, caller.client());
        }
        again
    }

    async fn reload_caller(&self, caller: &Caller) -> Result<Caller, Error> {
        if let Some(caller) = caller.unchanged(&self.0.db, self.now())? {
            return Ok(caller);
        }
        match caller.token() {
            Some(token) => {
                let known = self.current_credential(token.id).await?;
                let client = Arc::clone(&caller.client);
                Ok(Caller::by_token(known, self.now(), client)?)
            }
            // A password comes in the body, so no time has passed since it was checked.
            None => Ok(caller.clone()),
        }
    }

    /// Authenticates a username and password. An unknown name, a machine user, a deactivated user and a wrong
    /// password get the same error after the same work.
    pub async fn sign_in(
        &self,
        username: &str,
        password: Secret,
        client: &ClientInfo,
    ) -> Result<Caller, Error> {
        let checked = self.try_sign_in(username, password, client).await;
        let result = checked.as_ref().map_or_else(Error::result, |_| "ok");
        self.metrics().sign_in(result);
        checked
    }

    async fn try_sign_in(
        &self,
        username: &str,
        password: Secret,
        client: &ClientInfo,
    ) -> Result<Caller, Error> {
        let attempt = self.admit(username, client).await;
        let attempt =
            attempt.inspect_err(|_| self.0.shared.failed_auth.throttled(self.now(), client))?;
        let queue = queue_of(&attempt);
        let checked = self.look_up_and_verify(queue, username, &password).await;
        let Checked {
            account,
            user,
            stored,
            verdict,
        } = self.settle(attempt, client, checked, |c| (c.account, c.verdict))?;
        match (user, stored) {
            (Some(user), Some(mut hash)) if verdict.matches => {
                if verdict.needs_rehash {
                    hash = self.rehash(user.id, hash, &password).await?;
                }
                Ok(Caller::by_password(user, hash, client.clone()))
            }
            _ => {
                self.0
                    .shared
                    .failed_auth
                    .password(self.now(), account, client);
                Err(Unauthenticated::WrongPassword.into())
            }
        }
    }

    async fn look_up_and_verify(
        &self,
        queue: HashQueue,
        username: &str,
        password: &Secret,
    ) -> Result<Checked, Error> {
        let found = match Username::parse(username) {
            Ok(name) => {
                self.look_up(move |tx| Ok(users::find_sign_in(tx, &name)?))
                    .await?
            }
            Err(_) => None,
        };
        let account = found.as_ref().map(|(user, _)| user.id);
        let (user, stored) = match found {
            Some((user, Some(hash))) if !user.deactivated => {
                (Some(user), Some(PasswordHash::from_row(hash)))
            }
            _ => (None, None),
        };
        let hasher = self.hasher();
        let verdict = hasher.verify(queue, password, stored.as_ref()).await?;
        Ok(Checked {
            account,
            user,
            stored,
            verdict,
        })
    }

    /// Checks the caller's own password. It is throttled, counted and recorded like a sign-in.
    pub(super) async fn check_password(
        &self,
        caller: &Caller,
        user: &User,
        password: &Secret,
        stored: Option<PasswordHash>,
    ) -> Result<(), Error> {
        let checked = self.try_password(caller, user, password, stored).await;
        let result = checked.as_ref().map_or_else(Error::result, |()| "ok");
        self.metrics().sign_in(result);
        if let Err(Error::Throttled { .. } | Error::Denied(Denied::OldPassword)) = &checked {
            self.0
                .shared
                .failed_auth
                .old_password(self.now(), result, caller, user.id);
        }
        checked
    }

    async fn try_password(
        &self,
        caller: &Caller,
        user: &User,
        password: &Secret,
        stored: Option<PasswordHash>,
    ) -> Result<(), Error> {
        let client = caller.client();
        let attempt = self.admit(user.username.as_str(), client).await?;
        let hasher = self.hasher();
        let verdict = hasher.verify(queue_of(&attempt), password, stored.as_ref());
        let verdict = verdict.await.map_err(Error::from);
        let settled = self.settle(attempt, client, verdict, |verdict| {
            (Some(user.id), *verdict)
        })?;
        if settled.matches {
            Ok(())
        } else {
            Err(Denied::OldPassword.into())
        }
    }

    /// Admits a sign-in attempt, or says when to try again. It runs before the user is looked up, so unknown names
    /// are throttled like known ones.
    async fn admit(&self, username: &str, client: &ClientInfo) -> Result<Attempt<'_>, Error> {
        let (ip, now) = (address_of(client), self.now());
        let admitted = self.0.shared.throttle.admit(username, ip, now).await;
        admitted.map_err(|throttled| Error::Throttled {
            retry_after: whole_seconds(throttled.retry_after),
        })
    }

    /// Settles an attempt with the throttle. A success is refunded and makes its network known, a failure stays
    /// charged, and an attempt whose password was never checked does not count.
    fn settle<T>(
        &self,
        attempt: Attempt<'_>,
        client: &ClientInfo,
        checked: Result<T, Error>,
        verdict: impl Fn(&T) -> (Option<UserId>, PasswordCheck),
    ) -> Result<T, Error> {
        let now = self.now();
        match checked.as_ref().map(verdict) {
            Ok((Some(account), verdict)) if verdict.matches => {
                if attempt.succeed(now) {
                    self.note_network(account, client, now);
                }
            }
            Ok(_) => drop(attempt),
            Err(_) => attempt.withdraw(now),
        }
        checked
    }

    /// Rehashes a password with the current cost and returns the hash that is stored afterwards. The sign-in
    /// succeeds without it, so a failure is only logged, and the next sign-in tries again.
    async fn rehash(
        &self,
        id: UserId,
        old: PasswordHash,
        password: &Secret,
    ) -> Result<PasswordHash, Error> {
        let (new, stored) = match self.store_new_hash(id, &old, password).await {
            Ok(hashes) => hashes,
            Err(error) => {
                tracing::warn!(user.id = %id, %error, "cannot rehash a password");
                return Ok(old);
            }
        };
        match stored {
            Some(stored) if stored == new => Ok(new),
            // Another sign-in rehashed it first, or the password was changed.
            Some(stored) => {
                let hasher = self.hasher();
                let verdict = hasher.verify(HashQueue::KnownNetworks, password, Some(&stored));
                if verdict.await?.matches {
                    Ok(stored)
                } else {
                    Err(Unauthenticated::WrongPassword.into())
                }
            }
            None => Err(Unauthenticated::WrongPassword.into()),
        }
    }

    /// Replaces the hash `old` if it is still the stored one. Returns the new hash, and the one that is stored now.
    async fn store_new_hash(
        &self,
        id: UserId,
        old: &PasswordHash,
        password: &Secret,
    ) -> Result<(PasswordHash, Option<PasswordHash>), Error> {
        let new = self.hasher().rehash(password).await?;
        let (now, old, set) = (self.now(), old.clone(), new.clone());
        let stored = self.write_unanswered(move |tx| {
            let stored = users::password_hash(tx, id)?.map(PasswordHash::from_row);
            if stored.as_ref() != Some(&old) {
                return Ok(stored);
            }
            users::set_password_hash(tx, id, set.as_str(), now)?;
            Ok(Some(set.clone()))
        });
        Ok((new, stored.await?))
    }
}

/// The address to throttle by; a local caller has none and counts as loopback.
pub(super) fn address_of(client: &ClientInfo) -> IpAddr {
    client.ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn queue_of(attempt: &Attempt<'_>) -> HashQueue {
    if attempt.is_from_known_network() {
        HashQueue::KnownNetworks
    } else {
        HashQueue::Others
    }
}

impl From<HasherError> for Error {
    fn from(error: HasherError) -> Self {
        match error {
            HasherError::Full => Self::Busy,
            other => Self::Internal(Box::new(other)),
        }
    }
}
