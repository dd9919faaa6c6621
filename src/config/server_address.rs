//! The address of a server that a command calls.

use std::{fmt, net::IpAddr, path::PathBuf};

use http::Uri;

use crate::server::PublicUrl;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// `https://host[:port][/path]`, or `http://`.
    Http {
        /// Whether the connection is encrypted.
        tls: bool,
        /// A name or an IP address.
        host: String,
        /// The port.
        port: u16,
        /// The prefix that a proxy strips from each request's path: empty, or beginning with a slash.
        path: String,
    },
    /// `unix:PATH`: the control socket of a server on this machine.
    Unix(PathBuf),
}

impl ServerAddress {
    /// Parses `https://host[:port][/path]`, the same with `http://`, or `unix:PATH`. A trailing slash is dropped.
    ///
    /// # Errors
    /// It has none of these forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "must be https://HOST[:PORT][/PATH], http://HOST[:PORT][/PATH] or unix:PATH, with nothing after it";
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
        let path = uri.path();
        let path = path.strip_suffix('/').unwrap_or(path);
        // The parser drops a fragment.
        if !PublicUrl::is_path(path)
            || uri.query().is_some()
            || text.contains('#')
            || authority.as_str().contains('@')
        {
            return Err(FORM.to_owned());
        }
        let tls = scheme == "https";
        let default_port = if tls { 443 } else { 80 };
        Ok(Self::Http {
            tls,
            host: authority.host().to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(default_port),
            path: path.to_owned(),
        })
    }

    /// Whether others on the network can read what is sent there.
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
            Self::Http {
                tls,
                host,
                port,
                path,
            } => {
                let (scheme, default_port) = if *tls { ("https", 443) } else { ("http", 80) };
                write!(f, "{scheme}://{host}")?;
                if *port != default_port {
                    write!(f, ":{port}")?;
                }
                f.write_str(path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_of_three_forms() {
        for (text, shown) in [
            ("https://Tokens.example", "https://tokens.example"),
            ("https://tokens.example:443/", "https://tokens.example"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://a.example/Hallpass/", "https://a.example/Hallpass"),
            ("https://a.example:1/x/y", "https://a.example:1/x/y"),
            ("unix:hallpass.db.sock", "unix:hallpass.db.sock"),
        ] {
            assert_eq!(ServerAddress::parse(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "tokens.example",
            "ftp://tokens.example",
            "https://",
            "https://tokens.example//",
            "https://tokens.example/a//",
            "https://tokens.example/../a",
            "https://tokens.example/a%2Fb",
            "https://tokens.example/a#b",
            "https://tokens.example?a",
            "https://me@tokens.example",
            "unix:",
            "unix:/tmp/",
        ] {
            assert!(ServerAddress::parse(bad).is_err(), "{bad}");
        }
    }
}
