//! Public identifiers: 22 base62 digits of a `UUIDv7` (RFC 9562), so that they sort by creation time.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{base62, random, time::Timestamp};

/// The length of an identifier, in characters.
pub const ID_LEN: usize = 22;

/// An identifier's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u128);

impl Id {
    /// A new identifier with the creation time `now`.
    pub fn generate(now: Timestamp) -> Self {
        let millis = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
        let random = random::bytes::<10>();
        Self(
            uuid::Builder::from_unix_timestamp_millis(millis, &random)
                .into_uuid()
                .as_u128(),
        )
    }

    /// The smallest possible identifier with a creation time in the same millisecond as `time`. Every identifier from
    /// an earlier millisecond is smaller.
    pub fn least_at(time: Timestamp) -> Self {
        let millis = u64::try_from(time.as_micros() / 1_000).unwrap_or(0);
        Self(u128::from(millis) << 80)
    }

    /// Reads exactly 22 base62 digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != ID_LEN {
            return None;
        }
        let [a, b, c, d] = base62::decode::<4>(text.as_bytes())?.map(u128::from);
        Some(Self(a << 96 | b << 64 | c << 32 | d))
    }

    /// From the number, as a list position holds it.
    pub const fn from_u128(number: u128) -> Self {
        Self(number)
    }

    /// The number, as a list position holds it.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The last 16 bits, which are random: they distribute identifiers evenly, over shards for example.
    pub const fn random_bits(self) -> u16 {
        let [.., high, low] = self.0.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// The 22 characters, without allocating.
    pub fn encode(self) -> IdText {
        let bytes = self.0.to_be_bytes();
        let limb =
            |i: usize| u32::from_be_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let mut text = [0; ID_LEN];
        base62::encode([limb(0), limb(4), limb(8), limb(12)], &mut text);
        IdText(text)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.encode().as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode().as_str())
    }
}

/// The 22 characters of an identifier.
#[derive(Clone, Copy, Hash)]
pub struct IdText([u8; ID_LEN]);

impl fmt::Debug for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for IdText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl IdText {
    /// The characters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("base62 is ASCII")
    }
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Id);

        impl $name {
            /// No identifier: no `UUIDv7` is zero.
            pub const NONE: Self = Self(Id::from_u128(0));

            /// A new identifier with the creation time `now`.
            pub fn generate(now: Timestamp) -> Self {
                Self(Id::generate(now))
            }

            /// Reads exactly 22 base62 digits.
            pub fn parse(text: &str) -> Option<Self> {
                Id::parse(text).map(Self)
            }

            /// Wraps the untyped identifier.
            pub const fn from_id(id: Id) -> Self {
                Self(id)
            }

            /// The untyped identifier.
            pub const fn id(self) -> Id {
                self.0
            }

            /// The 22 characters, without allocating.
            pub fn encode(self) -> IdText {
                self.0.encode()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

typed_id! {
    /// Identifies a token. Public: it is the middle part of the plaintext.
    TokenId
}
typed_id! {
    /// Identifies a user.
    UserId
}
typed_id! {
    /// Identifies a request.
    RequestId
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn number_and_text_round_trip() {
        let number = 0x0123_4567_89ab_cdef_0011_2233_4455_abcd;
        let id = Id::from_u128(number);
        assert_eq!(id.as_u128(), number);
        assert_eq!(id.random_bits(), 0xabcd);
        assert_eq!(Id::parse(id.encode().as_str()), Some(id));
        assert_eq!(Id::parse(&id.encode().as_str()[1..]), None);
    }

    #[test]
    fn ids_of_a_millisecond_lie_between_its_lower_bound_and_the_next() {
        let time = Timestamp::from_micros(1_800_000_000_123_999);
        let (least, next) = (
            Id::least_at(time),
            Id::least_at(time.plus(Duration::from_millis(1))),
        );
        assert_eq!(
            least,
            Id::least_at(Timestamp::from_micros(1_800_000_000_123_000))
        );
        for _ in 0..100 {
            let id = Id::generate(time);
            assert!(least < id && id < next);
        }
        assert_eq!(
            Id::least_at(Timestamp::from_micros(-5)).as_u128(),
            0,
            "before all"
        );
    }
}
