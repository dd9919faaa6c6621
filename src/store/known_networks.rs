//! The table of networks from which people signed in of late.

use ipnet::IpNet;

use super::{error::Error, tx::Tx};
use crate::domain::{id::UserId, time::Timestamp, user::Username};

/// So many networks of a user are kept, the newest ones.
const KEPT_OF_USER: u32 = 100;

/// A network that a person signed in from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNetwork {
    /// What the person is called.
    pub username: Username,
    /// The network.
    pub network: IpNet,
    /// When the last sign-in was, or an hour before at most.
    pub last_time: Timestamp,
}

/// Writes down a sign-in of `user` from `network`. Of a user's networks the newest 100 stay.
pub fn note(tx: &Tx<'_>, user: UserId, network: IpNet, time: Timestamp) -> Result<(), Error> {
    let sql = "INSERT INTO known_networks (user_id, network, last_time) VALUES (?1, ?2, ?3) \
               ON CONFLICT (user_id, network) DO UPDATE SET last_time = excluded.last_time \
               WHERE known_networks.last_time < excluded.last_time";
    let network = network.to_string();
    tx.change_known_networks(sql, &[user.into(), network.as_str().into(), time.into()])?;
    let sql = "SELECT last_time FROM known_networks WHERE user_id = ?1 \
               ORDER BY last_time DESC LIMIT 1 OFFSET ?2";
    let superfluous = tx.find(sql, &[user.into(), KEPT_OF_USER.into()], |row| row.time(0))?;
    if let Some(time) = superfluous {
        let sql = "DELETE FROM known_networks WHERE user_id = ?1 AND last_time <= ?2";
        tx.change_known_networks(sql, &[user.into(), time.into()])?;
    }
    Ok(())
}

/// Removes all networks of `user`.
pub fn forget(tx: &Tx<'_>, user: UserId) -> Result<(), Error> {
    let sql = "DELETE FROM known_networks WHERE user_id = ?1";
    tx.change_known_networks(sql, &[user.into()]).map(drop)
}

/// Removes what was last seen at `before` or earlier.
pub fn purge(tx: &Tx<'_>, before: Timestamp) -> Result<(), Error> {
    let sql = "DELETE FROM known_networks WHERE last_time <= ?1";
    tx.change_known_networks(sql, &[before.into()]).map(drop)
}

/// Those that were seen after `since`, the newest first, at most `limit`.
pub fn list(tx: &Tx<'_>, since: Timestamp, limit: u32) -> Result<Vec<KnownNetwork>, Error> {
    let sql = "SELECT users.username, known_networks.network, known_networks.last_time \
               FROM known_networks JOIN users ON users.id = known_networks.user_id \
               WHERE known_networks.last_time > ?1 AND users.delete_time IS NULL \
               ORDER BY known_networks.last_time DESC LIMIT ?2";
    tx.list(sql, &[since.into(), limit.into()], |row| {
        Ok(KnownNetwork {
            username: row.string(0).map(Username::from_row)?,
            network: row.parse(1, "a network", |text| text.parse().ok())?,
            last_time: row.time(2)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::{
        samples::{NOW, person},
        sqlite, users,
    };

    fn network(n: u8) -> IpNet {
        format!("192.0.{n}.0/24").parse().unwrap()
    }

    #[test]
    fn the_newest_hundred_of_a_user_are_kept_and_go_with_time_or_at_once() {
        let connection = sqlite::in_memory();
        let tx = sqlite::transaction(&connection);
        let (alice, bob) = (person("alice"), person("bob"));
        for user in [&alice, &bob] {
            users::insert(&tx, user, Some("hash")).unwrap();
        }
        let at = |seconds: u64| NOW.plus(Duration::from_secs(seconds));
        note(&tx, bob.id, network(0), at(0)).unwrap();
        for n in 0..=120 {
            note(&tx, alice.id, network(n), at(n.into())).unwrap();
        }
        note(&tx, alice.id, network(120), at(3)).unwrap();
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
        forget(&tx, alice.id).unwrap();
        assert_eq!(list(&tx, before, 1_000).unwrap(), []);
    }
}
