//! The table of networks that people recently signed in from.

use ipnet::IpNet;

use super::{error::Error, tx::Tx};
use crate::domain::{id::UserId, time::Timestamp, user::Username};

/// Maximum number of networks kept per user. The most recent ones are kept.
const KEPT_OF_USER: u32 = 100;

/// A network that a person signed in from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNetwork {
    /// The person's name.
    pub username: Username,
    /// The network.
    pub network: IpNet,
    /// When the last sign-in was, up to an hour behind.
    pub last_time: Timestamp,
}

/// Records a sign-in of `user` from `network`, and removes all but the user's 100 most recent networks.
pub fn record(tx: &Tx<'_>, user: UserId, network: IpNet, time: Timestamp) -> Result<(), Error> {
    let sql = "INSERT INTO known_networks (user_id, network, last_time) VALUES (?1, ?2, ?3) \
               ON CONFLICT (user_id, network) DO UPDATE SET last_time = excluded.last_time \
               WHERE known_networks.last_time < excluded.last_time";
    let network = network.to_string();
    tx.change_known_networks(sql, &[user.into(), network.as_str().into(), time.into()])?;
    let sql = "SELECT last_time FROM known_networks WHERE user_id = ?1 \
               ORDER BY last_time DESC LIMIT 1 OFFSET ?2";
    let superfluous = tx.find(sql, &[user.into(), KEPT_OF_USER.into()], |row| {
        row.time("last_time")
    })?;
    if let Some(time) = superfluous {
        let sql = "DELETE FROM known_networks WHERE user_id = ?1 AND last_time <= ?2";
        tx.change_known_networks(sql, &[user.into(), time.into()])?;
    }
    Ok(())
}

/// Removes all networks of `user`.
pub fn delete_of_user(tx: &Tx<'_>, user: UserId) -> Result<(), Error> {
    let sql = "DELETE FROM known_networks WHERE user_id = ?1";
    tx.change_known_networks(sql, &[user.into()]).map(drop)
}

/// Removes the networks last seen at `before` or earlier.
pub fn purge(tx: &Tx<'_>, before: Timestamp) -> Result<(), Error> {
    let sql = "DELETE FROM known_networks WHERE last_time <= ?1";
    tx.change_known_networks(sql, &[before.into()]).map(drop)
}

/// At most `limit` networks seen after `since`, the most recent first.
pub fn list(tx: &Tx<'_>, since: Timestamp, limit: u32) -> Result<Vec<KnownNetwork>, Error> {
    let sql = "SELECT users.username, known_networks.network, known_networks.last_time \
               FROM known_networks JOIN users ON users.id = known_networks.user_id \
               WHERE known_networks.last_time > ?1 AND users.delete_time IS NULL \
               ORDER BY known_networks.last_time DESC LIMIT ?2";
    tx.list(sql, &[since.into(), limit.into()], |row| {
        Ok(KnownNetwork {
            username: row.string("username").map(Username::from_row)?,
            network: row.parse("network", "a network", |text| text.parse().ok())?,
            last_time: row.time("last_time")?,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::{
        sqlite,
        tests::samples::{NOW, person},
        users,
    };

    fn network(n: u8) -> IpNet {
        format!("192.0.{n}.0/24").parse().unwrap()
    }

    #[test]
    fn the_hundred_most_recent_networks_are_kept_until_purged_or_forgotten() {
        let connection = sqlite::in_memory();
        let tx = sqlite::transaction(&connection);
        let (alice, bob) = (person("alice"), person("bob"));
        for user in [&alice, &bob] {
            users::insert(&tx, user, Some("hash")).unwrap();
        }
        let at = |seconds: u64| NOW.plus(Duration::from_secs(seconds));
        record(&tx, bob.id, network(0), at(0)).unwrap();
        for n in 0..=120 {
            record(&tx, alice.id, network(n), at(n.into())).unwrap();
        }
        record(&tx, alice.id, network(120), at(3)).unwrap();
        let before = NOW.minus(Duration::from_secs(1));
        let all = list(&tx, before, 1_000).unwrap();
        assert_eq!(all.len(), 101);
        let newest = KnownNetwork {
            username: alice.username.clone(),
            network: network(120),
            last_time: at(120),
        };
        assert_eq!(all[0], newest, "forward only");
        assert_eq!(list(&tx, before, 1).unwrap(), [newest]);
        assert_eq!(list(&tx, at(60), 1_000).unwrap().len(), 60);
        purge(&tx, at(60)).unwrap();
        assert_eq!(list(&tx, before, 1_000).unwrap().len(), 60);
        delete_of_user(&tx, alice.id).unwrap();
        assert_eq!(list(&tx, before, 1_000).unwrap(), []);
    }
}
