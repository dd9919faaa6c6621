//! The steps of a run, and the scopes and addresses that are checked.

use proptest::prelude::*;

pub(super) const WRITE: &str = "hallpass:tokens:write";
pub(super) const SCOPES: [&[&str]; 6] = [
    &[],
    &[WRITE, "a", "b"],
    &[WRITE, "a"],
    &[WRITE],
    &["a", "b"],
    &["b"],
];
pub(super) const CIDRS: [&[&str]; 5] = [
    &[],
    &["10.0.0.0/8"],
    &["10.1.0.0/16"],
    &["10.1.0.0/16", "192.0.2.0/24"],
    &["192.0.2.1"],
];
/// The addresses that are checked. Callers use the first.
pub(super) const ADDRESSES: [[u8; 4]; 4] = [
    [10, 1, 0, 1],
    [10, 2, 0, 1],
    [192, 0, 2, 1],
    [198, 51, 100, 1],
];
pub(super) const REQUESTED: [&str; 4] = ["a", "b", WRITE, "whatever"];

/// Numbers of tokens are taken modulo their count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Creates a token without a parent, or with the token `by`.
    Create {
        by: Option<usize>,
        scopes: usize,
        cidrs: usize,
        ttl: Option<u8>,
    },
    /// Rotates from the command line, or with the token `by`.
    Rotate {
        by: Option<usize>,
        token: usize,
        grace: u8,
        ttl: Option<u8>,
    },
    RotateItself {
        token: usize,
        grace: u8,
        ttl: Option<u8>,
    },
    Update {
        token: usize,
        scopes: usize,
        cidrs: usize,
        disabled: Option<bool>,
    },
    Delete {
        token: usize,
    },
    Advance {
        secs: u8,
    },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let token = || 0..40_usize;
    let by = || prop_oneof![1 => Just(None), 3 => token().prop_map(Some)];
    let ttl = || prop_oneof![2 => Just(None), 1 => (20..120_u8).prop_map(Some)];
    // Mostly inherited, since nearly all random requests would be refused.
    let scopes = || prop_oneof![3 => Just(0), 2 => 0..SCOPES.len()];
    let cidrs = || prop_oneof![3 => Just(0), 2 => 0..CIDRS.len()];
    prop_oneof![
        5 => (by(), scopes(), cidrs(), ttl()).prop_map(|(by, scopes, cidrs, ttl)| Step::Create { by, scopes, cidrs, ttl }),
        4 => (by(), token(), 0..30_u8, ttl()).prop_map(|(by, token, grace, ttl)| Step::Rotate { by, token, grace, ttl }),
        2 => (token(), 0..30_u8, ttl()).prop_map(|(token, grace, ttl)| Step::RotateItself { token, grace, ttl }),
        3 => (token(), scopes(), cidrs(), prop::option::of(any::<bool>()))
            .prop_map(|(token, scopes, cidrs, disabled)| Step::Update { token, scopes, cidrs, disabled }),
        4 => token().prop_map(|token| Step::Delete { token }),
        1 => (0..10_u8).prop_map(|secs| Step::Advance { secs }),
    ]
}
