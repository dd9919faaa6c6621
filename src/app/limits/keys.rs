//! Keys of the throttle's tables. They are keyed hashes, so no name or address is stored.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use sha2::Sha256;

use crate::domain::{
    address::{network_of, site_of},
    random,
};

/// 128 bits of a keyed hash: one half chooses the bucket, the other tells keys in the same bucket apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    bucket: u64,
    tag: u64,
}

impl Key {
    /// Index of this key's bucket among `buckets`, which must not be zero.
    pub(super) fn index(self, buckets: usize) -> usize {
        let buckets = u64::try_from(buckets).expect("an address space is within 64 bits");
        usize::try_from(self.bucket % buckets).expect("less than `buckets`, which is a usize")
    }

    /// The tag of this key; never zero, which marks a free bucket.
    pub(super) fn tag(self) -> u64 {
        self.tag | 1
    }
}

/// The keys of one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub(super) account: Key,
    /// An IPv4 address, or an IPv6 /64.
    pub(super) address: Key,
    /// The account and the address.
    pub(super) pair: Key,
    /// The account and the network.
    pub(super) network: Key,
    /// The account and the site.
    pub(super) site: Key,
}

/// Makes keys with a random secret.
#[derive(Clone)]
pub(super) struct Keyer(Hmac<Sha256>);

impl Keyer {
    pub(super) fn generate() -> Self {
        let secret: [u8; 32] = random::bytes();
        Self(Hmac::new_from_slice(&secret).expect("HMAC takes a key of any length"))
    }

    pub(super) fn keys(&self, account: &str, ip: IpAddr) -> Keys {
        let account = account.to_lowercase();
        let address = match ip.to_canonical() {
            v4 @ IpAddr::V4(_) => IpNet::from(v4),
            v6 @ IpAddr::V6(_) => network_of(v6),
        };
        Keys {
            account: self.account(&account),
            address: self.key(b"address", "", Some(address)),
            pair: self.key(b"pair", &account, Some(address)),
            network: self.network(&account, network_of(ip)),
            site: self.key(b"site", &account, Some(site_of(ip))),
        }
    }

    /// The key of an account. The name must be in lower case.
    pub(super) fn account(&self, account: &str) -> Key {
        self.key(b"account", account, None)
    }

    /// The key of an account and a network. The name must be in lower case.
    pub(super) fn network(&self, account: &str, network: IpNet) -> Key {
        self.key(b"network", account, Some(network))
    }

    /// The parts of fixed length come first, so that different inputs never hash the same bytes.
    fn key(&self, kind: &[u8], account: &str, network: Option<IpNet>) -> Key {
        let mut mac = self.0.clone();
        mac.update(kind);
        match network.map(|network| network.addr()) {
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
            bucket: half(0),
            tag: half(8),
        }
    }
}

impl std::fmt::Debug for Keyer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_grouped_into_networks_and_sites() {
        let keyer = Keyer::generate();
        let keys = |ip: &str| keyer.keys("alice", ip.parse().unwrap());
        let (one, mapped) = (keys("192.0.2.77"), keys("::ffff:192.0.2.77"));
        assert_eq!((one.address, one.pair), (mapped.address, mapped.pair));
        let neighbour = keys("192.0.2.78");
        assert_ne!((one.address, one.pair), (neighbour.address, neighbour.pair));
        assert_eq!((one.network, one.site), (neighbour.network, neighbour.site));
        let (one, same) = (keys("2001:db8:1:2::3"), keys("2001:db8:1:2:4::"));
        assert_eq!((one.address, one.network), (same.address, same.network));
        let site = keys("2001:db8:1:3::3");
        assert_ne!((one.address, one.network), (site.address, site.network));
        assert_eq!(one.site, site.site);
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
        assert_ne!(
            one.account,
            keys(&Keyer::generate(), "alice", "192.0.2.1").account
        );
        assert_ne!(one.account, one.network);
        assert_ne!(one.network, one.site);
    }
}
