//! Addresses and the networks that stand for one client.

use std::net::IpAddr;

use ipnet::IpNet;

/// The network that counts as one client: /24 of IPv4, /64 of IPv6. v4-mapped addresses count as IPv4.
pub fn network_of(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let prefix = if address.is_ipv4() { 24 } else { 64 };
    IpNet::new(address, prefix)
        .expect("24 and 64 are within the address")
        .trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_network_and_mapped_addresses_count_as_v4() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.0/24");
        assert_eq!(network("::ffff:192.0.2.200"), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }
}
