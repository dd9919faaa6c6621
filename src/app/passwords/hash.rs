//! A single argon2id computation (RFC 9106): its cost, its stored form and its comparison.
//!
//! It runs on the caller's thread; [`super::hasher`] has the threads for it.

use std::{fmt, str::FromStr};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use subtle::{Choice, ConstantTimeEq};

use crate::domain::{random, secret::Secret};

/// A stored password hash: a PHC string, `$argon2id$v=19$m=…,t=…,p=…$salt$hash`. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes a hash from the store. It is parsed only when a password is checked against it.
    pub fn from_row(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string to store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[password hash]")
    }
}

/// Sizes of salt and hash, as RFC 9106, section 4, recommends.
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Upper bounds on the cost of any hash, stored ones included: a manipulated row must not be able to exhaust the
/// memory.
const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 16;

/// Cost parameters of a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cost(Params);

impl Cost {
    /// argon2id with one lane.
    pub(super) fn new(memory_kib: u32, passes: u32) -> Result<Self, CostError> {
        let params = Params::new(memory_kib, passes, 1, Some(HASH_BYTES));
        Self::bounded(params.map_err(|_| CostError)?)
    }

    fn bounded(params: Params) -> Result<Self, CostError> {
        let within = params.m_cost() <= MAX_MEMORY_KIB
            && params.t_cost() <= MAX_PASSES
            && params.p_cost() <= MAX_LANES;
        if within {
            Ok(Self(params))
        } else {
            Err(CostError)
        }
    }

    /// Work memory in KiB.
    pub(super) fn blocks(&self) -> usize {
        self.0.block_count()
    }

    /// Whether this costs an attacker less than `other` in memory or passes.
    pub(super) fn is_below(&self, other: &Self) -> bool {
        self.0.m_cost() < other.0.m_cost() || self.0.t_cost() < other.0.t_cost()
    }

    fn digest(&self, password: &Secret, salt: &[u8], memory: &mut [Block], out: &mut [u8]) {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.0.clone())
            .hash_password_into_with_memory(password.expose().as_bytes(), salt, out, memory)
            .expect("cost, salt, output and memory were measured when they were made");
    }
}

/// The cost, or a stored hash, is malformed or outside of what argon2 or Hallpass allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CostError;

/// Hashes `password` with a new random salt.
pub(super) fn hash(cost: &Cost, password: &Secret, memory: &mut [Block]) -> PasswordHash {
    let salt: [u8; SALT_BYTES] = random::bytes();
    let mut hash = [0; HASH_BYTES];
    cost.digest(password, &salt, memory, &mut hash);
    let (m, t, p) = (cost.0.m_cost(), cost.0.t_cost(), cost.0.p_cost());
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    PasswordHash(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${hash}"))
}

/// The hash that a password is checked against: a user's, or a dummy.
#[derive(Debug)]
pub(super) struct Target {
    cost: Cost,
    salt: Vec<u8>,
    hash: Vec<u8>,
    known: Choice,
}

impl Target {
    /// A dummy hash, for unknown users: it costs what a new hash costs and matches nothing.
    pub(super) fn dummy(cost: Cost) -> Self {
        Self {
            cost,
            salt: random::bytes::<SALT_BYTES>().to_vec(),
            hash: random::bytes::<HASH_BYTES>().to_vec(),
            known: Choice::from(0),
        }
    }

    pub(super) fn cost(&self) -> &Cost {
        &self.cost
    }

    /// Compares in constant time. `memory` must have at least [`Cost::blocks`] blocks.
    pub(super) fn matches(&self, password: &Secret, memory: &mut [Block]) -> bool {
        let mut hash = vec![0; self.hash.len()];
        self.cost.digest(password, &self.salt, memory, &mut hash);
        (hash.ct_eq(&self.hash) & self.known).into()
    }
}

impl FromStr for Target {
    type Err = CostError;

    fn from_str(phc: &str) -> Result<Self, CostError> {
        let stored = argon2::PasswordHash::new(phc).map_err(|_| CostError)?;
        if stored.algorithm != argon2::ARGON2ID_IDENT || stored.version != Some(19) {
            return Err(CostError);
        }
        let mut salt = [0; 64];
        let salt = stored.salt.as_ref().ok_or(CostError)?.decode_b64(&mut salt);
        let salt = salt.map_err(|_| CostError)?;
        let hash = stored.hash.ok_or(CostError)?;
        // Many passwords would match a short hash.
        if salt.len() < argon2::MIN_SALT_LEN || hash.len() < SALT_BYTES {
            return Err(CostError);
        }
        let params = Params::try_from(&stored).map_err(|_| CostError)?;
        Ok(Self {
            cost: Cost::bounded(params)?,
            salt: salt.to_vec(),
            hash: hash.as_bytes().to_vec(),
            known: Choice::from(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn memory(cost: &Cost) -> Vec<Block> {
        vec![Block::new(); cost.blocks()]
    }

    /// From `src/test.c` of the reference implementation: argon2id, version 0x13, m=2^8, t=2, p=1.
    #[test]
    fn hash_of_the_reference_implementation_verifies() {
        let phc =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let target: Target = phc.parse().unwrap();
        let mut memory = memory(target.cost());
        assert!(target.matches(&secret("password"), &mut memory));
        assert!(!target.matches(&secret("Password"), &mut memory));
    }

    #[test]
    fn dummy_hash_never_matches() {
        let cost = Cost::new(8, 1).unwrap();
        let mut memory = memory(&cost);
        let stored = hash(&cost, &secret("x"), &mut memory);
        let mut target: Target = stored.as_str().parse().unwrap();
        assert!(target.matches(&secret("x"), &mut memory));
        target.known = Choice::from(0);
        assert!(!target.matches(&secret("x"), &mut memory));
    }

    #[test]
    fn dummy_hash_costs_the_same_as_a_new_hash() {
        let cost = Cost::new(16, 3).unwrap();
        let nobody = Target::dummy(cost.clone());
        let stored = hash(&cost, &secret("x"), &mut memory(&cost));
        let somebody: Target = stored.as_str().parse().unwrap();
        assert_eq!(nobody.cost(), somebody.cost());
        assert_eq!(nobody.salt.len(), somebody.salt.len());
        assert_eq!(nobody.hash.len(), somebody.hash.len());
    }

    #[test]
    fn stored_hash_with_excessive_cost_is_refused() {
        for params in ["m=1048577,t=1,p=1", "m=8,t=65,p=1", "m=4096,t=1,p=17"] {
            let phc = format!(
                "$argon2id$v=19${params}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
            );
            assert!(phc.parse::<Target>().is_err(), "{params}");
        }
    }

    #[test]
    fn other_algorithms_and_truncated_hashes_are_refused() {
        for phc in [
            "",
            "plain",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/w",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
        ] {
            assert!(phc.parse::<Target>().is_err(), "{phc}");
        }
    }

    #[test]
    fn debug_shows_no_hash() {
        let stored = PasswordHash::from_row("$argon2id$secret".to_owned());
        assert_eq!(format!("{stored:?}"), "[password hash]");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn hash_matches_only_its_own_password(one in "\\PC{0,40}", two in "\\PC{0,40}") {
            let cost = Cost::new(8, 1).unwrap();
            let mut memory = memory(&cost);
            let target: Target = hash(&cost, &secret(&one), &mut memory).as_str().parse().unwrap();
            prop_assert!(target.matches(&secret(&one), &mut memory));
            prop_assert_eq!(target.matches(&secret(&two), &mut memory), one == two);
        }

        #[test]
        fn parsing_any_row_never_panics(row in "(\\$argon2id\\$v=19\\$m=[0-9]{1,8},t=[0-9]{1,3},p=[0-9]{1,2}\\$)?[\\$a-zA-Z0-9/+]{0,80}") {
            if let Ok(target) = row.parse::<Target>() {
                prop_assert!(target.cost().blocks() <= MAX_MEMORY_KIB as usize);
            }
        }
    }
}
