//! What is counted, as keyed hashes: no name or address is kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Keys;
use crate::domain::random;

/// 128 bits of a keyed hash: one half chooses the bucket, the other tells its holder from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    place: u64,
    tag: u64,
}

impl Key {
    /// Which of `buckets` is this key's; `buckets` is not zero.
    pub(super) fn index(self, buckets: usize) -> usize {
        let buckets = u64::try_from(buckets).expect("an address space is within 64 bits");
        usize::try_from(self.place % buckets).expect("less than `buckets`, which is a usize")
    }

    /// Never zero, which marks an empty bucket.
    pub(super) fn tag(self) -> u64 {
        self.tag | 1
    }
}

/// Makes keys under a secret of its own.
#[derive(Clone)]
pub(super) struct Keyer(Hmac<Sha256>);

impl Keyer {
    pub(super) fn generate() -> Self {
        let secret: [u8; 32] = random::bytes();
        Self(Hmac::new_from_slice(&secret).expect("HMAC takes a key of any length"))
    }

    pub(super) fn keys(&self, account: &str, ip: IpAddr) -> Keys {
        let account = account.to_lowercase();
        let (address, place) = groups(ip);
        Keys {
            account: self.key(b"account", &account, None),
            address: self.key(b"address", "", Some(address)),
            pair: self.key(b"pair", &account, Some(address)),
            place: self.key(b"place", &account, Some(place)),
        }
    }

    /// The fixed-length parts come first, so that no two different inputs read the same.
    fn key(&self, kind: &[u8], account: &str, ip: Option<IpAddr>) -> Key {
        let mut mac = self.0.clone();
        mac.update(kind);
        match ip {
            None => mac.update(b"-"),
            Some(IpAddr::V4(v4)) => {
                mac.update(b"4");
                mac.update(&v4.octets());
            }
            Some(IpAddr::V6(v6)) => {
                mac.update(b"6");
                mac.update(&v6.octets());
            }
        }
        mac.update(account.as_bytes());
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        let half = |from: usize| u64::from_le_bytes(std::array::from_fn(|at| hash[from + at]));
        Key {
            place: half(0),
            tag: half(8),
        }
    }
}

impl std::fmt::Debug for Keyer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyer")
    }
}

/// The address and the place that `ip` counts for.
fn groups(ip: IpAddr) -> (IpAddr, IpAddr) {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            (IpAddr::V4(v4), IpAddr::V4(Ipv4Addr::new(a, b, c, 0)))
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            let network = IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0));
            (network, network)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(ip: &str) -> (String, String) {
        let (address, place) = groups(ip.parse().unwrap());
        (address.to_string(), place.to_string())
    }

    #[test]
    fn addresses_are_grouped_as_their_owners_hold_them() {
        let groups = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(grouped("192.0.2.77"), groups("192.0.2.77", "192.0.2.0"));
        assert_eq!(grouped("::ffff:192.0.2.77"), grouped("192.0.2.77"));
        assert_eq!(
            grouped("2001:db8:1:2:3:4:5:6"),
            groups("2001:db8:1:2::", "2001:db8:1:2::")
        );
    }

    #[test]
    fn keys_differ_by_secret_kind_account_and_address() {
        let keyer = Keyer::generate();
        let keys =
            |keyer: &Keyer, account: &str, ip: &str| keyer.keys(account, ip.parse().unwrap());
        let one = keys(&keyer, "alice", "192.0.2.1");
        assert_eq!(one.pair, keys(&keyer, "Alice", "192.0.2.1").pair);
        assert_ne!(one.pair, keys(&keyer, "bob", "192.0.2.1").pair);
        assert_ne!(one.pair, keys(&keyer, "alice", "192.0.2.2").pair);
        assert_eq!(one.place, keys(&keyer, "alice", "192.0.2.2").place);
        assert_ne!(
            one.account,
            keys(&Keyer::generate(), "alice", "192.0.2.1").account
        );
        assert_ne!(one.account, one.place);
        assert_ne!(one.pair, one.place);
    }
}
