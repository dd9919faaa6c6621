use super::*;
use crate::domain::{
    cidr::CidrSet,
    note::Note,
    scope::ScopeSet,
    time::Timestamp,
    token::Lineage,
    token_text::{TokenPrefix, TokenText},
};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn credential(note: &str) -> Arc<Credential> {
    let id = TokenId::generate(NOW);
    let user_id = crate::domain::id::UserId::generate(NOW);
    let token = Token {
        id,
        user_id,
        note: Note::from_row(note.to_owned()),
        scopes: ScopeSet::default(),
        allowed_cidrs: CidrSet::default(),
        create_time: NOW,
        expire_time: None,
        disabled: None,
        parent_id: None,
        family_id: id,
        delete_time: None,
        successor_id: None,
        last_use: None,
        reuse_time: None,
    };
    Arc::new(Credential {
        hash: TokenText::generate(&TokenPrefix::default(), id).hash(),
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
