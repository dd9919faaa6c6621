//! The networks from which people signed in of late, which the throttle spares: what is kept of them over a
//! restart. A sign-in does not wait for that: what is new is written in batches, as last uses are.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use crate::{
    domain::{address, id::UserId, time::Timestamp, user::User},
    store::{Tx, known_networks},
};

use super::{App, Error, authenticate::address_of, caller::Origin, passwords::ThrottleLimits};

/// How many sign-ins wait for a store that takes no writes. One that finds no room is written down an hour later.
const ROOM: usize = 4_096;

/// How many networks are read at the start.
const MAX_READ: u32 = 1 << 16;

/// Sign-ins that are not yet written down.
#[derive(Debug, Default)]
pub(super) struct NewNetworks {
    latest: Mutex<HashMap<(UserId, IpNet), Timestamp>>,
    /// Held while they are written, and while a user's are removed: what was removed does not come back.
    writing: tokio::sync::Mutex<()>,
}

impl NewNetworks {
    fn lock(&self) -> MutexGuard<'_, HashMap<(UserId, IpNet), Timestamp>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, user: UserId, network: IpNet, time: Timestamp) {
        let mut latest = self.lock();
        if latest.len() < ROOM || latest.contains_key(&(user, network)) {
            latest.insert((user, network), time);
        }
    }
}

impl App {
    /// Tells the throttle what the store has kept.
    pub(super) async fn load_networks(&self) -> Result<(), Error> {
        let now = self.now();
        let since = now.minus(ThrottleLimits::default().known_for);
        let known = self
            .read(move |tx| Ok::<_, Error>(known_networks::list(tx, since, MAX_READ)?))
            .await?;
        for entry in known {
            let username = entry.username.as_str();
            self.0
                .throttle
                .know(username, entry.network, entry.last_time, now);
        }
        Ok(())
    }

    /// Notes a sign-in that is worth writing down.
    pub(super) fn note_network(&self, user: UserId, origin: &Origin, time: Timestamp) {
        let network = address::network_of(address_of(origin));
        self.0.new_networks.keep(user, network, time);
    }

    /// Writes down what was noted. No audit rows: a sign-in makes something that has its own.
    pub(super) async fn flush_networks(&self) -> Result<(), Error> {
        let _writing = self.0.new_networks.writing.lock().await;
        let latest = std::mem::take(&mut *self.0.new_networks.lock());
        if latest.is_empty() {
            return Ok(());
        }
        let mut latest: Vec<_> = latest.into_iter().collect();
        latest.sort_unstable_by_key(|((user, _), _)| *user);
        let batch = latest.clone();
        let written = self
            .write(move |tx| {
                for ((user, network), time) in &batch {
                    known_networks::note(tx, *user, *network, *time)?;
                }
                Ok(())
            })
            .await;
        if written.is_err() {
            for ((user, network), time) in latest {
                self.0.new_networks.keep(user, network, time);
            }
        }
        written
    }

    /// Removes what nobody is spared for any more.
    pub(super) async fn purge_networks(&self) -> Result<(), Error> {
        let before = self.now().minus(ThrottleLimits::default().known_for);
        self.write(move |tx| Ok(known_networks::purge(tx, before)?))
            .await
    }

    /// Does `work`, which takes away the way in of the user that it answers, and makes all networks unknown to
    /// that user.
    pub(super) async fn revoke_sign_in<T: Send + 'static>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<(T, Option<User>), Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _writing = self.0.new_networks.writing.lock().await;
        let (done, user) = self
            .revoke(move |tx| {
                let (done, user) = work(tx)?;
                if let Some(user) = &user {
                    known_networks::forget(tx, user.id)?;
                }
                Ok((done, user))
            })
            .await?;
        if let Some(user) = user {
            self.0.throttle.forget_networks(user.username.as_str());
            let mut latest = self.0.new_networks.lock();
            latest.retain(|(other, _), _| *other != user.id);
        }
        Ok(done)
    }
}
