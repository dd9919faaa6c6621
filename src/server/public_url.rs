//! The URL under which clients reach the server: as configured, or else as given in a request.

use std::{fmt, net::Ipv6Addr, sync::Arc};

use http::{HeaderMap, Uri, header, uri::Authority};

use super::{client_address::ClientAddress, listener::Peer};

/// An absolute URL without query, fragment and trailing slash, to which the paths of endpoints are appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    /// Offset of its path.
    path_at: usize,
}

impl PublicUrl {
    /// Parses `https://tokens.example`, or a URL with a path such as `https://example.com/tokens`. One trailing
    /// slash is removed.
    ///
    /// # Errors
    /// It is not such a URL, or not in normal form: clients compare an issuer byte by byte (RFC 8414 §3.3).
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "must be http(s)://host[:port][/path] in lower case up to the path, without query and fragment";
        let form = || FORM.to_owned();
        let text = text.strip_suffix('/').unwrap_or(text);
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(form()),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = port.map(|digits| match digits.parse::<u16>() {
            Ok(0) | Err(_) => Err(form()),
            Ok(port) if port == usual => Err("must not name the scheme's default port".to_owned()),
            Ok(port) if port.to_string() != digits => Err(form()),
            Ok(port) => Ok(port),
        });
        port.transpose()?;
        if !is_host(host) {
            return Err(form());
        }
        if !Self::is_path(path) {
            return Err(
                "must have a path of letters, digits and ._~- between single slashes".to_owned(),
            );
        }
        Ok(Self {
            text: text.to_owned(),
            path_at: text.len() - path.len(),
        })
    }

    /// The URL as a string.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a path, empty or with a leading slash, is in normal form.
    pub fn is_path(path: &str) -> bool {
        path.split('/').skip(1).all(is_segment)
    }

    /// Its path: empty, or with a leading slash.
    pub fn path(&self) -> &str {
        &self.text[self.path_at..]
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_host(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if let Some(address) = address {
        let parsed = address.parse::<Ipv6Addr>();
        return parsed.is_ok_and(|parsed| parsed.to_string() == address);
    }
    let is_label = |label: &str| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        !label.is_empty() && label.bytes().all(allowed)
    };
    host.split('.').all(is_label)
}

fn is_segment(segment: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
    !matches!(segment, "" | "." | "..") && segment.bytes().all(allowed)
}

/// Determines the issuer, which is the server's own URL.
#[derive(Clone, Debug)]
pub(super) struct Issuer {
    pub(super) public_url: Option<PublicUrl>,
    pub(super) addresses: Arc<ClientAddress>,
}

impl Issuer {
    /// The base URL of all absolute URLs in the reply to a request: the public URL or, if none is set, the
    /// request's own host (which the client may have made up), with `https` if the peer speaks TLS or a trusted proxy
    /// reports that.
    /// `None`: the request has no host.
    pub(super) fn find(&self, peer: Peer, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        if let Some(url) = &self.public_url {
            return Some(url.to_string());
        }
        let host = host(uri, headers)?;
        let from_https = |ip| self.addresses.is_forwarded_from_https(ip, headers);
        let is_https = matches!(peer, Peer::Tls(_)) || peer.ip().is_some_and(from_https);
        let scheme = if is_https { "https" } else { "http" };
        Some([scheme, "://", host.as_str()].concat())
    }
}

/// The host that the client used. The edge has checked that there is at most one.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    match uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => headers.get(header::HOST)?.to_str().ok()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_url_is_absolute_and_in_normal_form() {
        for (text, read, path) in [
            ("https://tokens.example", "https://tokens.example", ""),
            ("https://tokens.example/", "https://tokens.example", ""),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", ""),
            (
                "https://[2001:db8::1]:8443",
                "https://[2001:db8::1]:8443",
                "",
            ),
            ("https://[::1]", "https://[::1]", ""),
            (
                "https://a.example/tokens/",
                "https://a.example/tokens",
                "/tokens",
            ),
            (
                "https://a.example:1/x/Y~1.0_-",
                "https://a.example:1/x/Y~1.0_-",
                "/x/Y~1.0_-",
            ),
        ] {
            let url = PublicUrl::parse(text).unwrap();
            assert_eq!((url.as_str(), url.path()), (read, path), "{text}");
        }
        for bad in [
            "",
            "/",
            "tokens.example",
            "//tokens.example",
            "https:tokens.example",
            "https://",
            "https:///tokens",
            "HTTPS://tokens.example",
            "https://Tokens.example",
            "ftp://tokens.example",
            "https://tokens..example",
            "https://tokens.example.",
            "https://me@tokens.example",
            "https://me:pw@tokens.example",
            "https://tokens.example:",
            "https://tokens.example:0",
            "https://tokens.example:443",
            "https://tokens.example:0444",
            "https://tokens.example:+444",
            "https://tokens.example:65536",
            "http://tokens.example:80",
            "https://::1",
            "https://[::1",
            "https://[0::1]",
            "https://tokens.example?a=b",
            "https://tokens.example/?",
            "https://tokens.example/#x",
            "https://tokens.example/a//",
            "https://tokens.example//a",
            "https://tokens.example/a/../b",
            "https://tokens.example/.",
            "https://tokens.example/a%2Fb",
            "https://tokens.example/a b",
            "https://tokens.example/{*all}",
            " https://tokens.example",
            "https://tokens.example\n",
            "https://*.example",
            "https://töken.example",
        ] {
            assert!(PublicUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
