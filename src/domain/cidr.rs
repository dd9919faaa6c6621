//! The networks that a token may be used from.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Maximum number of networks of a token.
pub const MAX_CIDRS: usize = 32;

/// A token's allowed networks, sorted and without duplicates. Empty allows any address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CidrSet(Vec<IpNet>);

impl CidrSet {
    /// Validates a client's list. Each entry is a network such as `10.0.0.0/8` or `2001:db8::/32`, or a single
    /// address. IPv4-mapped IPv6 networks count as IPv4; duplicates are merged.
    ///
    /// # Errors
    /// Too many networks, or one that is malformed.
    pub fn parse<'a>(cidrs: impl IntoIterator<Item = &'a str>) -> Result<Self, CidrError> {
        let mut nets = Vec::new();
        for text in cidrs {
            nets.push(parse_net(text)?);
            nets.sort_unstable();
            nets.dedup();
            if nets.len() > MAX_CIDRS {
                return Err(CidrError::TooMany);
            }
        }
        Ok(Self(nets))
    }

    /// From the store, in the form that `Display` writes.
    pub fn from_row(text: &str) -> Option<Self> {
        text.split_ascii_whitespace()
            .map(|net| net.parse().ok())
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Whether any address is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The networks, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter()
    }

    /// Whether a token with these networks may be used from `address`.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|net| net.contains(&address))
    }

    /// The networks that both sets allow. `None` if there are none.
    pub fn in_common(&self, other: &Self) -> Option<Self> {
        match (self.is_empty(), other.is_empty()) {
            (_, true) => Some(self.clone()),
            (true, false) => Some(other.clone()),
            (false, false) => {
                let pairs = self
                    .iter()
                    .flat_map(|own| other.iter().map(move |its| (own, its)));
                // Two networks are either disjoint or one contains the other.
                let mut nets: Vec<_> = pairs
                    .filter_map(|(own, its)| match (own.contains(its), its.contains(own)) {
                        (true, _) => Some(*its),
                        (false, true) => Some(*own),
                        (false, false) => None,
                    })
                    .collect();
                nets.sort_unstable();
                nets.dedup();
                (!nets.is_empty()).then_some(Self(nets))
            }
        }
    }

    /// Whether each network of this set lies inside one of `other`'s.
    pub fn is_within(&self, other: &Self) -> bool {
        let inside = |net: &IpNet| other.0.iter().any(|outer| outer.contains(net));
        other.0.is_empty() || (!self.0.is_empty() && self.0.iter().all(inside))
    }
}

impl fmt::Display for CidrSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, net) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            net.fmt(f)?;
        }
        Ok(())
    }
}

/// Parses one network. Host bits are refused, not masked: `10.1.2.3/8` is more likely a mistake than a request for
/// all of `10.0.0.0/8`.
fn parse_net(text: &str) -> Result<IpNet, CidrError> {
    let net =
        read_net(text).ok_or_else(|| CidrError::Malformed(text.chars().take(64).collect()))?;
    if net.addr() != net.network() {
        return Err(CidrError::HostBits {
            given: net,
            meant: net.trunc(),
        });
    }
    Ok(canonical(net))
}

/// Parses the address with the standard library, not with ipnet: `010.0.0.0` means 10.0.0.0 to some programs and
/// 8.0.0.0 to others, so it is refused. The prefix length must be plain digits without leading zeros.
fn read_net(text: &str) -> Option<IpNet> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    };
    let bits: u8 = length.parse().ok()?;
    let is_canonical = bits.to_string() == length;
    is_canonical
        .then(|| IpNet::new(address.parse().ok()?, bits).ok())
        .flatten()
}

fn canonical(net: IpNet) -> IpNet {
    const MAPPED: Ipv6Net = match Ipv6Net::new(Ipv6Addr::new(0, 0, 0, 0, 0, 0xFFFF, 0, 0), 96) {
        Ok(net) => net,
        Err(_) => unreachable!(),
    };
    match net {
        IpNet::V6(v6) if MAPPED.contains(&v6) => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::V4(
                Ipv4Net::new(v4, v6.prefix_len() - 96).expect("96 to 128 less 96 is 0 to 32"),
            ),
            None => net,
        },
        _ => net,
    }
}

/// Why networks were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// One is neither a network nor an address.
    #[error("{0:?} is not a network such as 10.0.0.0/8 or 2001:db8::/32")]
    Malformed(String),
    /// One has host bits set.
    #[error("{given} has address bits beyond its prefix; {meant} would be the whole network")]
    HostBits {
        /// What was given.
        given: IpNet,
        /// The network that contains it.
        meant: IpNet,
    },
    /// More than [`MAX_CIDRS`].
    #[error("at most {MAX_CIDRS} networks are allowed")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(cidrs: &[&str]) -> CidrSet {
        CidrSet::parse(cidrs.iter().copied()).unwrap()
    }

    #[test]
    fn addresses_match_their_network_and_mapped_ones_count_as_ipv4() {
        let cidrs = set(&["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]);
        for yes in ["10.9.8.7", "::ffff:10.9.8.7", "2001:db8::1", "192.0.2.7"] {
            assert!(cidrs.allows(yes.parse().unwrap()), "{yes}");
        }
        for no in ["11.0.0.1", "::ffff:11.0.0.1", "2001:db9::1", "192.0.2.8"] {
            assert!(!cidrs.allows(no.parse().unwrap()), "{no}");
        }
        let mapped = set(&["::ffff:10.0.0.0/104"]);
        assert!(mapped.allows("10.1.1.1".parse().unwrap()));
        assert!(!mapped.allows("11.0.0.1".parse().unwrap()));
        assert!(set(&[]).allows("11.0.0.1".parse().unwrap()));
    }

    #[test]
    fn each_network_must_lie_inside_one_of_the_others() {
        assert!(set(&["10.1.0.0/16"]).is_within(&set(&["10.0.0.0/8"])));
        assert!(!set(&["10.0.0.0/8"]).is_within(&set(&["10.0.0.0/9", "10.128.0.0/9"])));
        assert!(!set(&[]).is_within(&set(&["10.0.0.0/8"])));
        assert!(set(&["10.0.0.0/8"]).is_within(&set(&[])));
    }

    #[test]
    fn common_networks_lie_in_both_sets() {
        let (any, wide) = (set(&[]), set(&["10.0.0.0/8", "192.0.2.0/24"]));
        let narrow = set(&["10.1.0.0/16", "192.0.0.0/16", "2001:db8::/32"]);
        let common = set(&["10.1.0.0/16", "192.0.2.0/24"]);
        assert_eq!(wide.in_common(&narrow), Some(common.clone()));
        assert_eq!(narrow.in_common(&wide), Some(common));
        assert_eq!(any.in_common(&wide), Some(wide.clone()));
        assert_eq!(wide.in_common(&any), Some(wide.clone()));
        assert_eq!(any.in_common(&any), Some(any));
        assert_eq!(wide.in_common(&set(&["11.0.0.0/8"])), None, "not any");
    }

    #[test]
    fn mistakes_are_refused_and_the_error_suggests_a_correction() {
        let error = CidrSet::parse(["10.1.2.3/8"]).unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
        for bad in [
            "",
            "10.0.0.0/33",
            "here",
            "10.0.0/8",
            "010.0.0.0/8",
            "10.0.0.00/8",
            "0x0a.0.0.0/8",
            "167772160/8",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            "10.0.0.0 /8",
            " 10.0.0.0/8",
            "10.0.0.0/8\r",
            "10.0.0.0/255.0.0.0",
            "010.0.0.1",
            "fe80::%eth0/64",
            "::ffff:010.0.0.0/104",
            "2001:db8::/129",
        ] {
            assert!(
                matches!(CidrSet::parse([bad]), Err(CidrError::Malformed(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_maximum_is_enforced_and_duplicates_do_not_count() {
        let text = |nth: usize| format!("10.0.0.{nth}");
        let mut texts: Vec<_> = (0..MAX_CIDRS).map(text).collect();
        texts.push(text(0));
        let parse = |texts: &[String]| CidrSet::parse(texts.iter().map(|text| &**text));
        assert_eq!(parse(&texts).map(|set| set.0.len()), Ok(MAX_CIDRS));
        texts.push(text(MAX_CIDRS));
        assert_eq!(parse(&texts), Err(CidrError::TooMany));
    }

    #[test]
    fn the_stored_form_round_trips() {
        let cidrs = set(&["2001:db8::/32", "10.0.0.0/8"]);
        assert_eq!(cidrs.to_string(), "10.0.0.0/8 2001:db8::/32");
        assert_eq!(CidrSet::from_row(&cidrs.to_string()), Some(cidrs));
        assert_eq!(CidrSet::from_row("nonsense"), None);
    }
}
