//! The timeout that a caller sets: `Connect-Timeout-Ms` or `grpc-timeout`.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::{
    error,
    protocol::{self, Protocol},
};
use crate::server::error::ApiError;

/// The caller's timeout, if set. An invalid one is an error: to wait longer or shorter than the caller thinks would
/// be worse.
pub(super) fn read(headers: &HeaderMap, protocol: Protocol) -> Result<Option<Duration>, ApiError> {
    let (name, parse): (HeaderName, fn(&str) -> Option<Duration>) = if protocol.is_grpc() {
        (protocol::GRPC_TIMEOUT, grpc)
    } else {
        (protocol::CONNECT_TIMEOUT_MS, connect)
    };
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let timeout = value.to_str().ok().and_then(parse);
    match timeout {
        Some(Duration::ZERO) => Err(error::malformed(format!(
            "{name} is 0: omit it to use the server's own timeout"
        ))),
        Some(timeout) if values.next().is_none() => Ok(Some(timeout)),
        _ => Err(error::malformed(format!("{name} is not a valid timeout"))),
    }
}

/// One to ten digits of milliseconds.
fn connect(text: &str) -> Option<Duration> {
    Some(Duration::from_millis(digits(text, 10)?))
}

/// One to eight digits and a unit.
fn grpc(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let amount = digits(text.strip_suffix(unit)?, 8)?;
    Some(match unit {
        'H' => Duration::from_secs(amount * 3600),
        'M' => Duration::from_secs(amount * 60),
        'S' => Duration::from_secs(amount),
        'm' => Duration::from_millis(amount),
        'u' => Duration::from_micros(amount),
        'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

fn digits(text: &str, most: usize) -> Option<u64> {
    let well_formed = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    well_formed.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_parsed_in_the_form_of_their_protocol() {
        assert_eq!(connect("0"), Some(Duration::ZERO));
        assert_eq!(
            connect("9999999999"),
            Some(Duration::from_millis(9_999_999_999))
        );
        for text in ["", "-1", "+1", "1.5", "1s", " 1", "10000000000"] {
            assert_eq!(connect(text), None, "{text:?}");
        }
        assert_eq!(grpc("1S"), Some(Duration::from_secs(1)));
        assert_eq!(grpc("2H"), Some(Duration::from_hours(2)));
        assert_eq!(grpc("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for text in ["", "S", "1", "1s", "1h", "-1S", "123456789S", "1µ", "1 S"] {
            assert_eq!(grpc(text), None, "{text:?}");
        }
    }

    #[test]
    fn zero_timeout_is_refused_in_every_protocol() {
        for (protocol, name, values) in [
            (Protocol::Connect, "connect-timeout-ms", &["0", "000"][..]),
            (Protocol::ConnectGet, "connect-timeout-ms", &["0"]),
            (Protocol::ConnectStream, "connect-timeout-ms", &["0"]),
            (
                Protocol::Grpc,
                "grpc-timeout",
                &["0S", "0H", "0n", "00000000m"],
            ),
            (Protocol::GrpcWeb, "grpc-timeout", &["0u"]),
            (Protocol::GrpcWebText, "grpc-timeout", &["0M"]),
        ] {
            for value in values {
                let mut headers = HeaderMap::new();
                headers.insert(name, value.parse().unwrap());
                let error = read(&headers, protocol).unwrap_err();
                let message = error.message();
                assert!(message.starts_with(&format!("{name} is 0")), "{message}");
            }
        }
    }
}
