//! Known networks: those from which a person signed in recently. The throttle goes easy on them, so they are stored
//! to survive a restart. They are written in batches, like last uses, so that no sign-in waits for it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use crate::{
    domain::{address, id::UserId, time::Timestamp, user::User},
    store::{Tx, known_networks},
};

use crate::app::{
    App, Error, authenticate::address_of, caller::ClientInfo, limits::ThrottleLimits,
};

/// Maximum number of sign-ins held while the store takes no writes. More are dropped; a sign-in from the same network
/// in a later hour is noted again.
const MAX_PENDING: usize = 4_096;

/// Maximum number of networks loaded at start.
const MAX_READ: u32 = 1 << 16;

/// Sign-ins that are not yet stored.
#[derive(Debug, Default)]
pub(in crate::app) struct PendingNetworks {
    latest: Mutex<HashMap<(UserId, IpNet), Timestamp>>,
    /// Held during a flush and while a user's networks are removed, so that a flush does not bring them back.
    writing: tokio::sync::Mutex<()>,
}

impl PendingNetworks {
    fn lock(&self) -> MutexGuard<'_, HashMap<(UserId, IpNet), Timestamp>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, user: UserId, network: IpNet, time: Timestamp) {
        let mut latest = self.lock();
        if latest.len() < MAX_PENDING || latest.contains_key(&(user, network)) {
            latest.insert((user, network), time);
        }
    }
}

impl App {
    /// Loads the stored networks into the throttle.
    pub(in crate::app) async fn load_networks(&self) -> Result<(), Error> {
        let now = self.now();
        let since = now.minus(ThrottleLimits::default().known_for);
        let known = self
            .read(move |tx| Ok::<_, Error>(known_networks::list(tx, since, MAX_READ)?))
            .await?;
        for entry in known {
            let username = entry.username.as_str();
            self.0
                .shared
                .throttle
                .know(username, entry.network, entry.last_time, now);
        }
        Ok(())
    }

    /// Notes a sign-in that is to be stored.
    pub(in crate::app) fn note_network(&self, user: UserId, client: &ClientInfo, time: Timestamp) {
        let network = address::network_of(address_of(client));
        self.0.shared.pending_networks.keep(user, network, time);
    }

    /// Stores the noted sign-ins. There is no audit row: what the sign-in was for has its own.
    pub(in crate::app) async fn flush_networks(&self) -> Result<(), Error> {
        let _writing = self.0.shared.pending_networks.writing.lock().await;
        let latest = std::mem::take(&mut *self.0.shared.pending_networks.lock());
        if latest.is_empty() {
            return Ok(());
        }
        let mut latest: Vec<_> = latest.into_iter().collect();
        latest.sort_unstable_by_key(|((user, _), _)| *user);
        let batch = latest.clone();
        let written = self
            .write_unanswered(move |tx| {
                for ((user, network), time) in &batch {
                    known_networks::record(tx, *user, *network, *time)?;
                }
                Ok(())
            })
            .await;
        if written.is_err() {
            for ((user, network), time) in latest {
                self.0.shared.pending_networks.keep(user, network, time);
            }
        }
        written
    }

    /// Deletes the networks that are too old to be known.
    pub(in crate::app) async fn purge_networks(&self) -> Result<(), Error> {
        let before = self.now().minus(ThrottleLimits::default().known_for);
        self.write_unanswered(move |tx| Ok(known_networks::purge(tx, before)?))
            .await
    }

    /// Runs `work`, which takes away the sign-in of the user that it returns, and forgets all known networks of that
    /// user.
    pub(in crate::app) async fn revoke_sign_in<T: Send + 'static>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<(T, Option<User>), Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _writing = self.0.shared.pending_networks.writing.lock().await;
        let (done, user) = self
            .revoke_part(move |tx| {
                let (done, user) = work(tx)?;
                if let Some(user) = &user {
                    known_networks::delete_of_user(tx, user.id)?;
                }
                Ok((done, user))
            })
            .await?;
        if let Some(user) = user {
            self.0
                .shared
                .throttle
                .forget_networks(user.username.as_str());
            let mut latest = self.0.shared.pending_networks.lock();
            latest.retain(|(other, _), _| *other != user.id);
        }
        Ok(done)
    }
}
