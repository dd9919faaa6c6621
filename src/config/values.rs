//! The texts that settings are written in: durations, sizes, networks, origins, the database's URL. The error of each
//! parser is the reason of the refusal, worded to follow the setting's name.

use std::{
    fmt::Display, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration,
};

use http::{HeaderName, Uri};
use ipnet::IpNet;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use crate::{
    domain::{
        self, audit_checkpoint::MIN_AUDIT_RETENTION, cidr::CidrSet, lifetime,
        token_text::TokenPrefix,
    },
    server::ListenAddress,
};

/// The longest value that a refusal repeats. No number is longer, and most secrets are.
const MAX_REPEATED: usize = 24;

/// Reads a whole number of `range`, and refuses others with the range: clap's own parser does not name it.
pub fn number<T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => {
            let (from, to) = (range.start(), range.end());
            let form = format!("must be a whole number from {from} to {to}");
            Err(if text.is_empty() || text.len() > MAX_REPEATED {
                form
            } else {
                format!("{form}, not {text}")
            })
        }
    }
}

/// Reads `90d`, `36h`, `10s` or a sum such as `1h 30min`; never zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match domain::duration::parse(text) {
        Ok(Duration::ZERO) => Err("must be longer than 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads how long audit rows are kept.
pub(super) fn audit_retention(text: &str) -> Result<Duration, String> {
    let retention = duration(text)?;
    if retention < MIN_AUDIT_RETENTION {
        let min = lifetime::show(MIN_AUDIT_RETENTION);
        return Err(format!("must be at least {min}"));
    }
    // Checkpoints tell it in seconds.
    Ok(Duration::from_secs(retention.as_secs()))
}

/// Reads a number of bytes, `65536` or `64KiB`; never zero.
pub(super) fn size_bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|char: char| !char.is_ascii_digit());
    let unit: usize = match &text[digits.len()..] {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("must be a size such as 65536, 64KiB or 1MiB".to_owned()),
    };
    let number: usize = digits
        .parse()
        .map_err(|_| "must be a size such as 65536, 64KiB or 1MiB".to_owned())?;
    match number.checked_mul(unit) {
        Some(0) => Err("must be more than 0".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("is too large".to_owned()),
    }
}

/// Reads an address and a port.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be an address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned()
    })
}

/// A member of a list, without the spaces around commas.
fn member(text: &str) -> &str {
    text.trim_matches(' ')
}

/// Reads a member of a list of addresses to listen on.
pub(super) fn listen_address(text: &str) -> Result<ListenAddress, String> {
    member(text).parse()
}

/// Reads a member of a list of networks: `10.0.0.0/8` or `2001:db8::/32`, or a single address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let set = CidrSet::parse([member(text)]).map_err(|error| error.to_string())?;
    set.iter()
        .next()
        .copied()
        .ok_or_else(|| "must not be empty".to_owned())
}

/// Reads a member of a list of origins as browsers send them (RFC 6454, §7): `https://console.example.com`; or `*`.
pub(super) fn origin(text: &str) -> Result<String, String> {
    const FORM: &str = "must be * or scheme://host[:port] in lower case, with nothing after it";
    let text = member(text);
    if text == "*" {
        return Ok(text.to_owned());
    }
    let uri: Uri = text.parse().map_err(|_| FORM.to_owned())?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority())
    else {
        return Err(FORM.to_owned());
    };
    // What was parsed is written again and compared: a path, a user or an upper-case letter makes a difference.
    let host_and_port = match (scheme, authority.port_u16()) {
        ("http", Some(80)) | ("https", Some(443)) => {
            return Err("must not name the scheme's own port: browsers leave it out".to_owned());
        }
        (_, Some(port)) => format!("{}:{port}", authority.host()),
        (_, None) => authority.host().to_owned(),
    };
    let canonical = format!("{scheme}://{host_and_port}").to_ascii_lowercase();
    if canonical == text && !text.contains('*') {
        Ok(canonical)
    } else {
        Err(FORM.to_owned())
    }
}

/// Headers that the browser or a proxy sets. A page that could set them would speak in their name.
const NOT_FOR_PAGES: [&str; 8] = [
    "cookie",
    "forwarded",
    "host",
    "origin",
    "referer",
    "true-client-ip",
    "via",
    "x-real-ip",
];
const NOT_FOR_PAGES_PREFIXES: [&str; 4] = ["access-control-", "proxy-", "sec-", "x-forwarded-"];

/// Reads the name of a header field that pages may send.
pub(super) fn cors_header(text: &str) -> Result<HeaderName, String> {
    let text = member(text);
    if text == "*" {
        return Err(
            "must be the name of one header: * would allow headers that do not exist yet"
                .to_owned(),
        );
    }
    let name = HeaderName::try_from(text)
        .map_err(|_| "must be the name of a header, such as x-tenant".to_owned())?;
    let begins = |prefix: &&str| name.as_str().starts_with(prefix);
    if NOT_FOR_PAGES.contains(&name.as_str()) || NOT_FOR_PAGES_PREFIXES.iter().any(begins) {
        return Err("is set by browsers and proxies, and must not be left to pages".to_owned());
    }
    Ok(name)
}

/// Reads `sqlite:PATH`; an absolute path may also follow `sqlite://`.
pub(super) fn database_url(text: &str) -> Result<PathBuf, String> {
    // The text itself is never repeated: a PostgreSQL URL may hold a password.
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        return Err("this version has SQLite only: give sqlite:PATH".to_owned());
    }
    let Some(path) = text.strip_prefix("sqlite:") else {
        return Err("must be sqlite:PATH, such as sqlite:hallpass.db".to_owned());
    };
    let path = match path.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(_) => return Err("has a host: write sqlite:PATH or sqlite:///PATH".to_owned()),
        None => path,
    };
    if path.is_empty() || path.ends_with('/') || path.starts_with(":memory:") {
        return Err("must name a file, such as sqlite:hallpass.db".to_owned());
    }
    if path.contains('?') {
        return Err("takes no parameters after the path".to_owned());
    }
    Ok(PathBuf::from(path))
}

/// Reads the prefix of new tokens.
pub(super) fn token_prefix(text: &str) -> Result<TokenPrefix, String> {
    TokenPrefix::parse(text).map_err(|error| error.to_string())
}

/// Checks what to log: a level, or directives such as `info,hallpass::store=debug`.
pub(super) fn log_level(text: &str) -> Result<String, String> {
    let text: Vec<_> = text.split(',').map(member).collect();
    let text = text.join(",");
    // A bare word would be read as the name of a module, so a misspelt level would log everything.
    let bare_words_are_levels = text
        .split(',')
        .filter(|part| !part.contains('='))
        .all(|word| !word.is_empty() && word.parse::<LevelFilter>().is_ok());
    match EnvFilter::builder().parse(&text) {
        Ok(_) if bare_words_are_levels => Ok(text),
        _ => Err(
            "must be error, warn, info, debug, trace or directives such as info,hallpass=debug"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_range_and_a_value_that_is_no_secret() {
        let read = number(1..=512_u32);
        assert_eq!(read("512"), Ok(512));
        for bad in ["0", "513", "-1", "1.5", "abc", "99999999999999999999"] {
            let refusal = format!("must be a whole number from 1 to 512, not {bad}");
            assert_eq!(read(bad), Err(refusal));
        }
        for unshown in ["", "correct horse battery staple"] {
            let refusal = "must be a whole number from 1 to 512".to_owned();
            assert_eq!(read(unshown), Err(refusal));
        }
    }

    #[test]
    fn durations_need_a_unit_and_are_never_zero() {
        assert_eq!(duration("90d"), Ok(Duration::from_hours(90 * 24)));
        assert_eq!(duration("36h"), Ok(Duration::from_hours(36)));
        assert!(duration("1000years").is_ok());
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        for bad in [
            "",
            "90",
            "0s",
            "-1s",
            "soon",
            "1 fortnight",
            "1001years",
            "1month",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_may_send_named_headers_and_none_of_the_browsers_or_proxies() {
        assert_eq!(cors_header("X-Tenant").unwrap(), "x-tenant");
        for bad in [
            "",
            "*",
            "x tenant",
            "x-tenant: a",
            "Cookie",
            "X-Forwarded-For",
            "sec-fetch-site",
            "Host",
        ] {
            assert!(cors_header(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_binary_multiples() {
        assert_eq!(size_bytes("65536"), Ok(65_536));
        assert_eq!(size_bytes("64KiB"), Ok(65_536));
        assert_eq!(size_bytes("1MiB"), Ok(1 << 20));
        for bad in [
            "",
            "0",
            "64k",
            "64 KiB",
            "KiB",
            "-1",
            "1.5MiB",
            "0KiB",
            "1é",
            "99999999999999GiB",
        ] {
            assert!(size_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_taken_only_as_browsers_write_them() {
        for good in [
            "*",
            "https://console.example.com",
            "http://localhost:5173",
            "http://[::1]:5173",
        ] {
            assert_eq!(origin(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "null",
            "example.com",
            "https://example.com/",
            "https://example.com/path",
            "https://Example.com",
            "https://me@example.com",
            "https://example.com:443",
            "http://example.com:80",
            "ftp://example.com",
            "https://*",
            "https://exa mple.com",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_sqlite_files_are_databases() {
        assert_eq!(database_url("sqlite:a.db"), Ok(PathBuf::from("a.db")));
        assert_eq!(database_url("sqlite:/v/a.db"), Ok(PathBuf::from("/v/a.db")));
        assert_eq!(
            database_url("sqlite:///v/a.db"),
            Ok(PathBuf::from("/v/a.db"))
        );
        for bad in [
            "",
            "a.db",
            "sqlite:",
            "sqlite://a.db",
            "sqlite::memory:",
            "sqlite:a.db?mode=ro",
            "sqlite:dir/",
            "mysql://x",
        ] {
            assert!(database_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refused_postgres_url_is_not_repeated() {
        let refusal = database_url("postgres://me:hunter2@db/hallpass").unwrap_err();
        assert!(refusal.contains("SQLite only"), "{refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }

    #[test]
    fn log_levels_are_checked() {
        for good in ["info", "warn", "info,hallpass::store=debug"] {
            assert_eq!(log_level(good).as_deref(), Ok(good));
        }
        let spaced = log_level("info, hallpass::store=debug");
        assert_eq!(spaced.as_deref(), Ok("info,hallpass::store=debug"));
        for bad in ["", "loud", "info,hallpass=loud"] {
            assert!(log_level(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn proxies_are_networks_or_single_addresses() {
        assert!(network("10.0.0.0/8").is_ok());
        assert!(network(" ::1 ").is_ok());
        assert!(network("010.0.0.0/8").is_err());
        assert!(network("").is_err());
        assert!(network("localhost").is_err());
    }
}
