//! Cache of the credentials that token checks need. An entry is used only while the store confirms that nothing
//! relevant has changed since it was read.
//!
//! A credential is cached once a client presented the right secret or read its token. The entry has the secret's
//! hash, never its text. Validity is checked again at each use, because tokens expire. Tokens that do not exist are
//! not cached.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    domain::{id::TokenId, token::Token, token_text::TokenHash},
    store::{Stamp, tokens::Credential},
};

/// Number of sets; the token's ID decides the set.
const SETS: usize = 1 << 14;
/// Entries per set: 65,536 in all.
const WAYS: usize = 4;
/// Maximum size of a credential's texts and lists; a larger credential is not cached. A full cache takes about
/// 60 MiB with typical tokens, and never more than 180 MiB.
const MAX_VARIABLE_BYTES: usize = 2_048;

/// The credential cache.
#[derive(Debug)]
pub(super) struct CredentialCache {
    sets: Box<[Mutex<Set>]>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Set {
    kept: [Option<CachedCredential>; WAYS],
    /// The entry that was evicted last; the next one is evicted when the set is full.
    next: usize,
}

/// A credential, with the stamp by which the store tells whether it is stale.
#[derive(Clone, Debug)]
pub(super) struct CachedCredential {
    /// Taken before the credential was read.
    pub(super) stamp: Stamp,
    pub(super) credential: Arc<Credential>,
}

impl Default for CredentialCache {
    fn default() -> Self {
        Self {
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }
}

impl CredentialCache {
    /// The cached credential if `is_current` accepts it and the secret matches. Counts a hit or a miss.
    pub(super) fn find(
        &self,
        id: TokenId,
        hash: &TokenHash,
        is_current: impl Fn(Stamp, &Credential) -> bool,
    ) -> Option<CachedCredential> {
        let found = self.get(id, is_current);
        let found = found.filter(|known| known.credential.hash.matches(hash));
        let count = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        count.fetch_add(1, Relaxed);
        found
    }

    /// The cached credential if `is_current` accepts it.
    pub(super) fn get(
        &self,
        id: TokenId,
        is_current: impl Fn(Stamp, &Credential) -> bool,
    ) -> Option<CachedCredential> {
        let set = self.set(id);
        let kept = set.kept.iter().flatten().find(|kept| kept.is_of(id))?;
        is_current(kept.stamp, &kept.credential).then(|| kept.clone())
    }

    /// Hits and misses of [`Self::find`].
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Relaxed), self.misses.load(Relaxed))
    }

    pub(super) fn keep(&self, known: &CachedCredential) {
        if variable_bytes(&known.credential) > MAX_VARIABLE_BYTES {
            return;
        }
        let id = known.credential.lineage.token.id;
        let mut set = self.set(id);
        let own = set
            .kept
            .iter()
            .position(|kept| kept.as_ref().is_none_or(|kept| kept.is_of(id)));
        let slot = own.unwrap_or_else(|| {
            set.next = (set.next + 1) % WAYS;
            set.next
        });
        set.kept[slot] = Some(known.clone());
    }

    fn set(&self, id: TokenId) -> MutexGuard<'_, Set> {
        let set = usize::from(id.id().random_bits()) % SETS;
        // Nothing panics under the lock.
        self.sets[set]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl CachedCredential {
    fn is_of(&self, id: TokenId) -> bool {
        self.credential.lineage.token.id == id
    }
}

/// Size of the parts whose size a client chose.
fn variable_bytes(credential: &Credential) -> usize {
    // Its text, plus the overhead of its entry in the set.
    let scope = |scope: &str| scope.len() + 48;
    let of = |token: &Token| {
        token.note.as_str().len()
            + token.scopes.iter().map(scope).sum::<usize>()
            + token.allowed_cidrs.iter().map(size_of_val).sum::<usize>()
    };
    let parent = credential.lineage.parent.as_ref();
    let parent = parent.and_then(|parent| parent.token.as_ref());
    let user = credential.user.as_ref();
    of(&credential.lineage.token)
        + parent.map_or(0, of)
        + user.map_or(0, |user| user.description.as_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{cidr::CidrSet, note::Note, scope::ScopeSet, token::Lineage},
        store::tests::samples,
    };

    fn credential(note: &str) -> Arc<Credential> {
        let token = Token {
            note: Note::from_row(note.to_owned()),
            scopes: ScopeSet::default(),
            allowed_cidrs: CidrSet::default(),
            ..samples::token(&samples::person("alice"))
        };
        Arc::new(Credential {
            hash: samples::hash(&token),
            lineage: Lineage {
                token,
                user_active: true,
                parent: None,
            },
            user: None,
            owner_is_active_admin: false,
        })
    }

    fn stamp(all: u64) -> Stamp {
        Stamp::for_tests(all)
    }

    fn keep(all: &CredentialCache, read: u64, credential: &Arc<Credential>) {
        all.keep(&CachedCredential {
            stamp: stamp(read),
            credential: Arc::clone(credential),
        });
    }

    /// Whether the credential is found if everything read before `since` is stale.
    fn is_found(all: &CredentialCache, since: u64, credential: &Credential) -> bool {
        let id = credential.lineage.token.id;
        let is_current = |kept, _: &Credential| kept >= stamp(since);
        all.find(id, &credential.hash, is_current).is_some()
    }

    #[test]
    fn only_the_right_secret_of_a_fresh_entry_is_a_hit() {
        let all = CredentialCache::default();
        let (one, other) = (credential("ci"), credential("ci"));
        assert!(!is_found(&all, 1, &one));
        keep(&all, 1, &one);
        assert!(is_found(&all, 1, &one));
        assert!(!is_found(&all, 2, &one));
        let id = one.lineage.token.id;
        assert!(all.find(id, &other.hash, |_, _| true).is_none());
        keep(&all, 2, &one);
        assert!(is_found(&all, 2, &one) && !is_found(&all, 3, &one));
        assert_eq!(all.counts(), (2, 4));
    }

    #[test]
    fn cache_size_is_bounded() {
        let all = CredentialCache::default();
        let large = credential(&"x".repeat(MAX_VARIABLE_BYTES + 1));
        keep(&all, 1, &large);
        assert!(!is_found(&all, 1, &large));
        for _ in 0..2 * SETS * WAYS {
            keep(&all, 1, &credential(""));
        }
        let newest = credential("");
        keep(&all, 1, &newest);
        assert!(is_found(&all, 1, &newest));
        let kept = |set: &Mutex<Set>| set.lock().unwrap().kept.iter().flatten().count();
        let kept: usize = all.sets.iter().map(kept).sum();
        assert!(kept > SETS * WAYS / 2 && kept <= SETS * WAYS, "{kept}");
        let largest = size_of::<Credential>() + MAX_VARIABLE_BYTES;
        assert!(largest * SETS * WAYS < 180 << 20, "{largest}");
    }
}
