//! Rotation: a successor replaces a token, which may stay valid for a grace period.

use std::time::Duration;

use super::{id::TokenId, lifetime::LifetimeLimits, time::Timestamp, token::Token};

/// Maximum grace period. Two secrets that are both valid for more than a year are not a rotation.
pub const MAX_GRACE: Duration = Duration::from_hours(365 * 24);

/// Maximum number of live tokens in a family: rotation is exempt from the quota, so overlapping grace periods need a
/// limit of their own.
pub const MAX_LIVE_FAMILY: u64 = 8;

/// How long a predecessor stays valid, in whole microseconds; zero: it is revoked at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grace(Duration);

impl Grace {
    /// From the fields of a `google.protobuf.Duration`, rounded down to the microsecond.
    ///
    /// # Errors
    /// The duration is negative, malformed or exceeds [`MAX_GRACE`].
    pub fn parse(seconds: i64, nanos: i32) -> Result<Self, GraceError> {
        let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else {
            return Err(GraceError::Negative);
        };
        if nanos > 999_999_999 {
            return Err(GraceError::Nanos);
        }
        let grace = Duration::new(seconds, nanos / 1_000 * 1_000);
        if grace > MAX_GRACE {
            return Err(GraceError::TooLong);
        }
        Ok(Self(grace))
    }

    /// Whether the rotation revokes the predecessor at once.
    pub const fn is_none(self) -> bool {
        self.0.is_zero()
    }
}

/// Why a grace period was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraceError {
    /// It is negative.
    #[error("must not be negative")]
    Negative,
    /// The nanoseconds are above 999,999,999.
    #[error("nanos must be within 0 to 999,999,999")]
    Nanos,
    /// It exceeds [`MAX_GRACE`].
    #[error("must be at most 365 days")]
    TooLong,
}

/// The successor's expiry where none is requested: the predecessor's lifetime, starting now, or an earlier limit.
/// Since nobody requested more, this is no silent clamping.
pub fn default_expiry(
    predecessor: &Token,
    now: Timestamp,
    limits: LifetimeLimits,
) -> Option<Timestamp> {
    let anew = predecessor.lifetime().map(|lifetime| now.plus(lifetime));
    let longest = limits.max_ttl.map(|ttl| now.plus(ttl));
    [anew, longest, limits.parent_expires]
        .into_iter()
        .flatten()
        .min()
}

/// The tokens after a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The new token.
    pub successor: Token,
    /// The rotated token, with its new state.
    pub predecessor: Token,
}

impl Rotation {
    /// Rotates `token` at `now`. The successor gets the ID `id` and the expiry `expire_time`, which must be checked
    /// already.
    ///
    /// # Errors
    /// The token was rotated before.
    pub fn new(
        token: Token,
        id: TokenId,
        expire_time: Option<Timestamp>,
        grace: Grace,
        now: Timestamp,
    ) -> Result<Self, AlreadyRotated> {
        if token.successor_id.is_some() {
            return Err(AlreadyRotated);
        }
        let successor = Token {
            id,
            create_time: now,
            expire_time,
            last_use: None,
            ..token.clone()
        };
        let mut predecessor = token;
        predecessor.successor_id = Some(id);
        if grace.is_none() {
            predecessor.delete_time = Some(now);
        } else {
            let end = now.plus(grace.0);
            let own = predecessor.expire_time;
            predecessor.expire_time = Some(own.map_or(end, |own| own.min(end)));
        }
        Ok(Self {
            successor,
            predecessor,
        })
    }
}

/// How long after a rotated token's end its use is still tolerated: a process that has just received the new secret
/// may have requests with the old one in flight, and clocks differ.
const REUSE_TOLERANCE: Duration = Duration::from_mins(1);

/// Whether a use of `token` at `now` means that someone else has its secret (RFC 9700 §4.14.2): it was rotated, and
/// it ended longer ago than is tolerated.
pub fn is_reuse(token: &Token, now: Timestamp) -> bool {
    let end = token.delete_time.into_iter().chain(token.expire_time).min();
    token.successor_id.is_some() && end.is_some_and(|end| end.plus(REUSE_TOLERANCE) < now)
}

/// A token can be rotated only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token was rotated already: rotate its successor")]
pub struct AlreadyRotated;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{cidr::CidrSet, id::UserId, note::Note, scope::ScopeSet, token::LastUse};

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
    const HOUR: Duration = Duration::from_hours(1);

    fn token(expire_time: Option<Timestamp>) -> Token {
        let id = TokenId::generate(NOW);
        Token {
            id,
            user_id: UserId::generate(NOW),
            note: Note::parse("ci".to_owned()).unwrap(),
            scopes: ScopeSet::parse(["deploy"]).unwrap(),
            allowed_cidrs: CidrSet::parse(["10.0.0.0/8"]).unwrap(),
            create_time: NOW,
            expire_time,
            disabled: None,
            parent_id: Some(TokenId::generate(NOW)),
            family_id: id,
            delete_time: None,
            successor_id: None,
            last_use: Some(LastUse::seen(NOW, None)),
            reuse_time: None,
        }
    }

    fn rotated(token: &Token, seconds: i64, after: Duration) -> Rotation {
        let grace = Grace::parse(seconds, 0).unwrap();
        let now = NOW.plus(after);
        Rotation::new(token.clone(), TokenId::generate(now), None, grace, now).unwrap()
    }

    #[test]
    fn a_negative_grace_or_one_over_a_year_is_refused() {
        let year = 365 * 24 * 3_600;
        assert_eq!(Grace::parse(year, 0), Ok(Grace(MAX_GRACE)));
        assert_eq!(Grace::parse(year, 1_000), Err(GraceError::TooLong));
        assert_eq!(Grace::parse(i64::MAX, 0), Err(GraceError::TooLong));
        assert_eq!(Grace::parse(-1, 0), Err(GraceError::Negative));
        assert_eq!(Grace::parse(0, -1), Err(GraceError::Negative));
        assert_eq!(Grace::parse(0, 1_000_000_000), Err(GraceError::Nanos));
        let almost = Duration::from_micros(999_999);
        assert_eq!(Grace::parse(0, 999_999_999), Ok(Grace(almost)));
        assert!(Grace::parse(0, 999).unwrap().is_none());
    }

    #[test]
    fn a_successor_copies_its_predecessor_and_is_unused() {
        let first = token(Some(NOW.plus(HOUR)));
        let Rotation {
            successor,
            predecessor,
        } = rotated(&first, 0, HOUR / 2);
        let expected = Token {
            id: successor.id,
            create_time: NOW.plus(HOUR / 2),
            expire_time: None,
            last_use: None,
            ..first.clone()
        };
        assert_eq!(successor, expected);
        assert_eq!(predecessor.delete_time, Some(NOW.plus(HOUR / 2)));
        assert_eq!(predecessor.successor_id, Some(successor.id));
        assert_eq!(predecessor.expire_time, first.expire_time);
        let again = Rotation::new(predecessor, first.id, None, Grace::default(), NOW);
        assert_eq!(again, Err(AlreadyRotated));
    }

    #[test]
    fn a_grace_never_extends_the_predecessors_expiry() {
        let end = |token: &Token, seconds| rotated(token, seconds, HOUR / 2).predecessor;
        let expiring = token(Some(NOW.plus(HOUR)));
        assert_eq!(
            end(&expiring, 60).expire_time,
            Some(NOW.plus(HOUR / 2 + Duration::from_mins(1)))
        );
        assert_eq!(end(&expiring, 3_600).expire_time, Some(NOW.plus(HOUR)));
        assert_eq!(end(&expiring, 3_600).delete_time, None);
        assert_eq!(
            end(&token(None), 3_600).expire_time,
            Some(NOW.plus(HOUR * 3 / 2))
        );
    }

    #[test]
    fn the_default_expiry_is_the_same_lifetime_or_the_earliest_limit() {
        let now = NOW.plus(HOUR / 2);
        let default = |token: &Token, max_ttl, parent_expires| {
            let limits = LifetimeLimits {
                max_ttl,
                parent_expires,
                ..LifetimeLimits::default()
            };
            default_expiry(token, now, limits)
        };
        let (expiring, endless) = (token(Some(NOW.plus(HOUR))), token(None));
        assert_eq!(default(&expiring, None, None), Some(now.plus(HOUR)));
        assert_eq!(default(&endless, None, None), None);
        let parent = Some(now.plus(HOUR / 4));
        assert_eq!(default(&expiring, Some(HOUR * 2), parent), parent);
        assert_eq!(
            default(&endless, Some(HOUR * 2), None),
            Some(now.plus(HOUR * 2))
        );
    }
}
