//! IP addresses, and the networks that count as one client.

use std::net::IpAddr;

use ipnet::IpNet;

/// The network that counts as one client: /24 for IPv4, /64 for IPv6. IPv4-mapped addresses count as IPv4.
pub fn network_of(address: IpAddr) -> IpNet {
    prefix(address, 64)
}

/// The network that a single subscriber may control: /24 for IPv4, /48 for IPv6 (RFC 6177). Its holder can send from
/// any address in it.
pub fn site_of(address: IpAddr) -> IpNet {
    prefix(address, 48)
}

fn prefix(address: IpAddr, of_v6: u8) -> IpNet {
    let address = address.to_canonical();
    let length = if address.is_ipv4() { 24 } else { of_v6 };
    IpNet::new(address, length)
        .expect("24, 48 and 64 are within the address")
        .trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_network_and_mapped_addresses_count_as_ipv4() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.0/24");
        assert_eq!(network("::ffff:192.0.2.200"), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }

    #[test]
    fn a_site_is_wider_than_a_network_in_ipv6() {
        let site = |text: &str| site_of(text.parse().unwrap()).to_string();
        assert_eq!(site("::ffff:192.0.2.200"), "192.0.2.0/24");
        assert_eq!(site("2001:db8:1:2:3:4:5:6"), "2001:db8:1::/48");
    }
}
