//! The address of a server that a command calls.

use std::{fmt, net::IpAddr, path::PathBuf};

use http::Uri;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// `https://host[:port]`, or `http://`.
    Http {
        /// Whether the connection is encrypted.
        tls: bool,
        /// A name or an IP address.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:PATH`: the control socket of a server on this machine.
    Unix(PathBuf),
}

impl ServerAddress {
    /// Reads `https://host[:port]`, `http://` likewise, or `unix:PATH`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "must be https://HOST[:PORT], http://HOST[:PORT] or unix:PATH, with nothing behind it";
        if let Some(path) = text.strip_prefix("unix:") {
            let is_path = !path.is_empty() && !path.ends_with('/');
            return is_path
                .then(|| Self::Unix(PathBuf::from(path)))
                .ok_or_else(|| "must name a socket, such as unix:hallpass.db.sock".to_owned());
        }
        let uri: Uri = text.parse().map_err(|_| FORM.to_owned())?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) =
            (uri.scheme_str(), uri.authority())
        else {
            return Err(FORM.to_owned());
        };
        if !matches!(uri.path(), "" | "/")
            || uri.query().is_some()
            || authority.as_str().contains('@')
        {
            return Err(FORM.to_owned());
        }
        let tls = scheme == "https";
        let usual = if tls { 443 } else { 80 };
        Ok(Self::Http {
            tls,
            host: authority.host().to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(usual),
        })
    }

    /// Whether what is sent there can be read on the way.
    pub fn is_open(&self) -> bool {
        let Self::Http { tls, host, .. } = self else {
            return false;
        };
        let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        !tls && host != "localhost" && !ip.is_some_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http { tls, host, port } => {
                let (scheme, usual) = if *tls { ("https", 443) } else { ("http", 80) };
                write!(f, "{scheme}://{host}")?;
                if *port == usual {
                    return Ok(());
                }
                write!(f, ":{port}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_in_one_of_three_ways() {
        for (text, shown) in [
            ("https://Tokens.example", "https://tokens.example"),
            ("https://tokens.example:443/", "https://tokens.example"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("unix:hallpass.db.sock", "unix:hallpass.db.sock"),
        ] {
            assert_eq!(ServerAddress::parse(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "tokens.example",
            "ftp://tokens.example",
            "https://",
            "https://tokens.example/api",
            "https://tokens.example?a",
            "https://me@tokens.example",
            "unix:",
            "unix:/tmp/",
        ] {
            assert!(ServerAddress::parse(bad).is_err(), "{bad}");
        }
    }
}
