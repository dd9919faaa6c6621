//! The source of randomness: `rand`'s generator, seeded by the operating system.

use rand::Rng;

/// `N` random bytes, suitable for secrets.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}
