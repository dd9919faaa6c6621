//! The client address of a request, with or without proxies.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Determines client addresses, given the trusted proxies.
#[derive(Debug)]
pub(super) struct ClientAddress {
    trusted: Vec<IpNet>,
    warned: AtomicBool,
}

impl ClientAddress {
    pub(super) const fn new(trusted: Vec<IpNet>) -> Self {
        Self {
            trusted,
            warned: AtomicBool::new(false),
        }
    }

    /// The peer's address or, if the peer is a trusted proxy, the client that it reports: the rightmost entry of
    /// `X-Forwarded-For` that is not itself a trusted proxy.
    pub(super) fn find(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer.to_canonical();
        if !headers.contains_key(FORWARDED_FOR) {
            return address;
        }
        if !self.trusts(address) {
            self.warn_once(address);
            return address;
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries {
            let Some(forwarded) = parse(entry) else {
                // Entries to the left of an invalid one cannot be trusted.
                return address;
            };
            address = forwarded;
            if !self.trusts(address) {
                return address;
            }
        }
        address
    }

    /// Whether a trusted proxy reports that its client used TLS.
    pub(super) fn is_forwarded_from_https(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let mut schemes = headers.get_all(FORWARDED_PROTO).iter();
        let scheme = schemes.next().filter(|_| schemes.next().is_none());
        self.trusts(peer) && scheme.is_some_and(|scheme| scheme == "https")
    }

    /// Whether this is the address of a trusted proxy.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }

    fn warn_once(&self, peer: IpAddr) {
        if self.trusted.is_empty() && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                "a peer sends X-Forwarded-For, which is ignored: if it is your proxy, name it with \
                 --trusted-proxy"
            );
        }
    }
}

/// Parses an address with or without a port, as proxies write it.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?.trim();
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|a| a.ip()));
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = address.or_else(|| bare.and_then(|text| text.parse().ok()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(trusted: &[&str], peer: &str, forwarded: &[&'static str]) -> String {
        let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        ClientAddress::new(trusted)
            .find(peer.parse().unwrap(), &headers)
            .to_string()
    }

    #[test]
    fn without_trusted_proxies_the_header_is_ignored() {
        assert_eq!(find(&[], "192.0.2.1", &["10.0.0.1"]), "192.0.2.1");
        assert_eq!(
            find(&["10.0.0.0/8"], "192.0.2.1", &["10.0.0.1"]),
            "192.0.2.1"
        );
    }

    #[test]
    fn client_is_the_last_address_that_is_not_a_trusted_proxy() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(
            find(&trusted, "10.0.0.1", &["203.0.113.9, 198.51.100.7"]),
            "198.51.100.7"
        );
        assert_eq!(
            find(&trusted, "10.0.0.1", &["198.51.100.7, 10.0.0.2"]),
            "198.51.100.7"
        );
        assert_eq!(
            find(&trusted, "10.0.0.1", &["198.51.100.7", "10.0.0.2"]),
            "198.51.100.7"
        );
        assert_eq!(
            find(&trusted, "::ffff:10.0.0.1", &["[2001:db8::1]:443"]),
            "2001:db8::1"
        );
        assert_eq!(
            find(&trusted, "10.0.0.1", &["10.0.0.3, 10.0.0.2"]),
            "10.0.0.3"
        );
    }

    #[test]
    fn invalid_entry_ends_the_search() {
        assert_eq!(
            find(&["10.0.0.0/8"], "10.0.0.1", &["198.51.100.7, nonsense"]),
            "10.0.0.1"
        );
        assert_eq!(find(&["10.0.0.0/8"], "10.0.0.1", &[""]), "10.0.0.1");
    }
}
