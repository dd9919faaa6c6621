//! Until when the server's certificate is valid, and the warnings about that.

use std::time::Duration;

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::{Certificate, der::Decode as _};

use crate::domain::time::Timestamp;

/// How long before its end a certificate is warned of, at most.
const MAX_NOTICE: Duration = Duration::from_hours(14 * 24);

/// Certificates of days or hours are renewed with a third of their time left: then this part of it is late.
const NOTICE_PART: u32 = 5;

/// When a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Validity {
    not_before: Timestamp,
    pub(in crate::server) not_after: Timestamp,
}

/// What a clock says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum ValidityState {
    Valid,
    NotYetValid,
    ExpiresSoon,
    Expired,
}

impl Validity {
    /// `None`: it cannot be read, though rustls could use the certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let validity = certificate.tbs_certificate().validity();
        Some(Self {
            not_before: validity.not_before.to_system_time().into(),
            not_after: validity.not_after.to_system_time().into(),
        })
    }

    pub(in crate::server) fn state(&self, now: Timestamp) -> ValidityState {
        let lifetime = self.not_after.since(self.not_before);
        let notice = MAX_NOTICE.min(lifetime / NOTICE_PART);
        if self.not_after < now {
            ValidityState::Expired
        } else if now < self.not_before {
            ValidityState::NotYetValid
        } else if self.not_after.since(now) < notice {
            ValidityState::ExpiresSoon
        } else {
            ValidityState::Valid
        }
    }

    /// Warns unless it is valid for long. The server goes on all the same: it may be the clock that is wrong.
    pub(in crate::server) fn warn(&self, state: ValidityState) {
        let Self {
            not_before,
            not_after,
        } = self;
        match state {
            ValidityState::Valid => {}
            ValidityState::NotYetValid => {
                tracing::warn!(%not_before, "the TLS certificate is not valid yet: clients refuse it");
            }
            ValidityState::ExpiresSoon => {
                tracing::warn!(%not_after, "the TLS certificate expires soon: renew it");
            }
            ValidityState::Expired => {
                tracing::warn!(%not_after, "the TLS certificate has expired: clients refuse it");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::{ValidityState::*, *};

    fn validity(from: (i32, u8, u8), to: (i32, u8, u8)) -> Validity {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Validity::of(certificate.der()).unwrap()
    }

    #[test]
    fn validity_of_a_certificate_is_known() {
        let validity = validity((2026, 1, 2), (2050, 3, 4));
        assert_eq!(validity.not_before.to_string(), "2026-01-02T00:00:00Z");
        assert_eq!(validity.not_after.to_string(), "2050-03-04T00:00:00Z");
    }

    #[test]
    fn certificate_is_warned_of_two_weeks_before_its_end_and_a_short_one_later() {
        let hours = |count: u64| Duration::from_hours(count);
        let long = validity((2026, 1, 1), (2026, 4, 1));
        let short = validity((2026, 3, 27), (2026, 4, 1));
        for (of, before_its_end, expected) in [
            (long, hours(15 * 24), Valid),
            (long, hours(13 * 24), ExpiresSoon),
            (short, hours(2 * 24), Valid),
            (short, hours(23), ExpiresSoon),
            (short, hours(6 * 24), NotYetValid),
            (short, Duration::ZERO, ExpiresSoon),
        ] {
            let now = of.not_after.minus(before_its_end);
            assert_eq!(of.state(now), expected, "{before_its_end:?}");
        }
        let later = long.not_after.plus(hours(1));
        assert_eq!(long.state(later), Expired);
    }
}
