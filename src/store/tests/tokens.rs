//! Storing, finding, listing, deleting and purging tokens.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    domain::{
        cidr::CidrSet,
        id::TokenId,
        scope::ScopeSet,
        time::Timestamp,
        token::{DisabledBy, Invalid, LastUse, Token},
        user::{Role, User},
    },
    store::{
        Db, Error, OpenAs, Tx, sqlite,
        tests::samples::{Folder, NOW, hash, machine, person, token},
        tokens::*,
        users,
    },
};

fn add(tx: &Tx<'_>, token: &Token) {
    insert(tx, token, &hash(token)).unwrap();
}

fn child(parent: &Token, user: &User) -> Token {
    Token {
        parent_id: Some(parent.id),
        ..token(user)
    }
}

fn expired(token: Token) -> Token {
    Token {
        expire_time: Some(NOW),
        ..token
    }
}

#[test]
fn a_stored_token_round_trips() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let alice = person("alice");
    users::insert(&tx, &alice, None).unwrap();
    let parent = token(&alice);
    let mut odd = child(&parent, &alice);
    odd.expire_time = Some(Timestamp::from_micros(-1));
    odd.disabled = Some(DisabledBy::Reuse);
    odd.reuse_time = Some(NOW);
    odd.scopes = ScopeSet::default();
    odd.allowed_cidrs = CidrSet::default();
    for token in [parent, odd] {
        let secret = hash(&token);
        insert(&tx, &token, &secret).unwrap();
        assert_eq!(find(&tx, token.id).unwrap().as_ref(), Some(&token));
        let found = find_credential(&tx, token.id).unwrap().unwrap();
        assert!(found.hash.matches(&secret));
        assert_eq!(found.lineage.token, token);
        assert_eq!(found.user.as_ref(), Some(&alice));
    }
    assert_eq!(find(&tx, TokenId::generate(NOW)).unwrap(), None);
    let orphan = token(&person("nobody"));
    let refused = insert(&tx, &orphan, &hash(&orphan)).unwrap_err();
    assert!(matches!(refused, Error::Constraint { .. }), "{refused:?}");
}

#[test]
fn a_credential_holds_the_state_of_user_owner_and_parent() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let mut alice = person("alice");
    alice.role = Role::Admin;
    let mut bot = machine("bot", &alice);
    users::insert(&tx, &alice, None).unwrap();
    users::insert(&tx, &bot, None).unwrap();
    let parent = token(&alice);
    let made = child(&parent, &bot);
    add(&tx, &parent);
    add(&tx, &made);
    let credential = |id| find_credential(&tx, id).unwrap().unwrap();
    let check = || credential(made.id).lineage.check(NOW, None);

    assert_eq!(check(), Ok(()));
    assert!(credential(made.id).owner_is_active_admin);
    assert!(!credential(parent.id).owner_is_active_admin);
    assert_eq!(credential(parent.id).lineage.parent, None);

    alice.deactivated = true;
    users::update(&tx, &alice).unwrap();
    assert_eq!(check(), Err(Invalid::Parent));
    assert!(!credential(made.id).owner_is_active_admin);
    alice.deactivated = false;
    users::update(&tx, &alice).unwrap();
    assert_eq!(check(), Ok(()));

    bot.deactivated = true;
    users::update(&tx, &bot).unwrap();
    assert_eq!(check(), Err(Invalid::UserDeactivated));
    users::mark_deleted(&tx, bot.id, NOW).unwrap();
    assert_eq!(credential(made.id).user, None);
    assert_eq!(check(), Err(Invalid::UserDeactivated));

    let other = child(&parent, &alice);
    add(&tx, &other);
    assert!(mark_revoked(&tx, parent.id, NOW).unwrap());
    let deleted = credential(other.id).lineage;
    assert_eq!(deleted.check(NOW, None), Err(Invalid::Parent));
    assert_eq!(purge(&tx, NOW, 9).unwrap(), 1);
    let purged = credential(other.id).lineage;
    assert_eq!(purged.parent.as_ref().unwrap().token, None);
    assert_eq!(purged.check(NOW, None), Err(Invalid::Parent));
}

#[test]
fn deleting_includes_live_children_whoever_they_belong_to() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let (alice, carol) = (person("alice"), person("carol"));
    let bot = machine("bot", &alice);
    for user in [&alice, &carol, &bot] {
        users::insert(&tx, user, None).unwrap();
    }
    let (first, second, other) = (token(&alice), token(&alice), token(&carol));
    let mine = [
        child(&first, &alice),
        child(&first, &bot),
        child(&second, &bot),
    ];
    let dead = expired(child(&first, &bot));
    let foreign = child(&other, &carol);
    for token in [&first, &second, &other, &dead, &foreign]
        .into_iter()
        .chain(&mine)
    {
        add(&tx, token);
    }
    assert_eq!(count_live(&tx, bot.id, NOW).unwrap(), 2);
    assert_eq!(count_live_children(&tx, first.id, NOW).unwrap(), 2);
    assert_eq!(revoke_live_children(&tx, first.id, NOW).unwrap(), 2);
    assert_eq!(revoke_live_children(&tx, first.id, NOW).unwrap(), 0);
    // Two of Alice's own tokens are left, and the second one's child, which belongs to the machine.
    assert_eq!(revoke_live_of_user(&tx, alice.id, NOW).unwrap(), 3);
    assert_eq!(count_live(&tx, alice.id, NOW).unwrap(), 0);
    assert_eq!(count_live(&tx, bot.id, NOW).unwrap(), 0);
    assert_eq!(count_live(&tx, carol.id, NOW).unwrap(), 2);
    assert_eq!(find(&tx, dead.id).unwrap().unwrap().delete_time, None);
    assert!(!mark_revoked(&tx, first.id, NOW).unwrap());
}

#[test]
fn deleting_a_family_deletes_its_live_members_and_their_children_only() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let alice = person("alice");
    users::insert(&tx, &alice, None).unwrap();
    let first = token(&alice);
    let member = || Token {
        family_id: first.id,
        ..token(&alice)
    };
    let (dead, last, old, other) = (member(), member(), expired(member()), token(&alice));
    let children = [&first, &last].map(|parent| child(parent, &alice));
    let foreign = child(&other, &alice);
    for token in [&first, &dead, &last, &old, &other, &foreign]
        .into_iter()
        .chain(&children)
    {
        add(&tx, token);
    }
    mark_revoked(&tx, dead.id, NOW).unwrap();
    let chunks = [1; 3].map(|limit| revoke_family(&tx, first.id, &[], NOW, limit).unwrap());
    let with_child = [first.id, children[0].id];
    let ids: Vec<_> = chunks[0].ids().copied().collect();
    assert_eq!(ids, with_child, "a member goes with its children");
    assert_eq!(chunks.each_ref().map(RevokedFamily::count), [2, 2, 0]);
    let gone: BTreeSet<_> = chunks
        .iter()
        .flat_map(RevokedFamily::ids)
        .copied()
        .collect();
    let expected = children.iter().chain([&first, &last]);
    assert_eq!(gone, expected.map(|token| token.id).collect());
    for id in gone {
        let delete_time = find(&tx, id).unwrap().unwrap().delete_time;
        assert_eq!(delete_time, Some(NOW));
    }
    assert_eq!(count_live(&tx, alice.id, NOW).unwrap(), 2);
}

#[test]
fn the_purge_removes_old_tokens_in_chunks_and_nothing_else() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let alice = person("alice");
    users::insert(&tx, &alice, None).unwrap();
    let later = NOW.plus(Duration::from_micros(1));
    let mut kept = [token(&alice), token(&alice), token(&alice)];
    kept[1].delete_time = Some(later);
    kept[2].expire_time = Some(later);
    let mut old: Vec<_> = (0..5).map(|_| expired(token(&alice))).collect();
    for (number, token) in old.iter_mut().enumerate() {
        token.delete_time = [None, Some(NOW)][number % 2];
    }
    old.push(Token {
        delete_time: Some(NOW),
        ..token(&alice)
    });
    kept.iter().chain(&old).for_each(|token| add(&tx, token));
    let chunks = [0; 4].map(|_| purge(&tx, NOW, 2).unwrap());
    assert_eq!(chunks, [2, 2, 2, 0]);
    for token in &kept {
        assert_eq!(find(&tx, token.id).unwrap().as_ref(), Some(token));
    }
}

#[test]
fn expired_and_deleted_tokens_are_not_listed() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let alice = person("alice");
    users::insert(&tx, &alice, None).unwrap();
    let (live, gone) = (token(&alice), token(&alice));
    for token in [&expired(token(&alice)), &live, &gone] {
        add(&tx, token);
    }
    mark_revoked(&tx, gone.id, NOW).unwrap();
    let filter = TokenFilter::live_of(alice.id);
    let found = search(&tx, &filter, NOW, None, false, 9).unwrap();
    assert_eq!(found.tokens, [live]);
}

const STAY: i64 = 2_000;

async fn write(db: &Db, work: impl Fn(&Tx<'_>) -> Result<(), Error> + Send + 'static) {
    db.write(work).await.unwrap();
}

/// Adds and deletes tokens around those that stay, until it is dropped.
async fn disturb(db: Db, user: User) {
    for time in (0..STAY).map(|time| time * 7 % STAY).cycle() {
        let mut guest = token(&user);
        guest.create_time = Timestamp::from_micros(time);
        guest.disabled = Some(DisabledBy::Owner);
        let secret = hash(&guest);
        let id = guest.id;
        write(&db, move |tx| insert(tx, &guest, &secret)).await;
        if time % 2 == 0 {
            write(&db, move |tx| mark_revoked(tx, id, NOW).map(drop)).await;
        }
    }
}

#[tokio::test]
async fn pages_contain_each_lasting_token_exactly_once_under_concurrent_writes() {
    let folder = Folder::new();
    let db = folder.open(OpenAs::Serve);
    let alice = person("alice");
    let user = alice.clone();
    write(&db, move |tx| {
        users::insert(tx, &user, None)?;
        (0..STAY).try_for_each(|time| {
            let mut stays = token(&user);
            stays.create_time = Timestamp::from_micros(time / 3);
            insert(tx, &stays, &hash(&stays))
        })
    })
    .await;
    let writers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(disturb(db.clone(), alice.clone())))
        .collect();
    for reverse in [false, true] {
        let (mut seen, mut ids, mut after) = (Vec::new(), BTreeSet::new(), None);
        loop {
            let filter = TokenFilter::live_of(alice.id);
            let next = move |tx: &Tx<'_>| search(tx, &filter, NOW, after, reverse, 50);
            let page = db.read::<_, Error>(next).await.unwrap();
            ids.extend(page.tokens.iter().map(|token| token.id));
            seen.extend(
                page.tokens
                    .into_iter()
                    .map(|token| (token.create_time, token.id, token.disabled.is_some())),
            );
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(ids.len(), seen.len(), "one came twice");
        let stayed = seen.iter().filter(|(_, _, guest)| !guest).count();
        assert_eq!(i64::try_from(stayed).unwrap(), STAY);
        let sorted = if reverse {
            seen.is_sorted_by(|a, b| a >= b)
        } else {
            seen.is_sorted()
        };
        assert!(sorted);
    }
    writers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[test]
fn last_use_is_the_latest_of_the_users_live_tokens() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let (alice, bob) = (person("alice"), person("bob"));
    for user in [&alice, &bob] {
        users::insert(&tx, user, None).unwrap();
    }
    let hour = |hour: u64| NOW.plus(Duration::from_hours(hour));
    let expiring = Token {
        expire_time: Some(hour(99)),
        ..token(&alice)
    };
    let (endless, unused, foreign) = (token(&alice), token(&alice), token(&bob));
    let (gone, over) = (token(&alice), expired(token(&alice)));
    for token in [&endless, &expiring, &unused, &foreign, &gone, &over] {
        add(&tx, token);
    }
    let last_use = |tx: &Tx<'_>| last_use_of_live(tx, alice.id, NOW).unwrap();
    assert_eq!(last_use(&tx), None);
    let uses = [(&endless, 1), (&expiring, 2), (&foreign, 3), (&gone, 4)];
    let uses = uses.map(|(token, at)| (token.id, LastUse::seen(hour(at), None)));
    record_uses(&tx, &uses).unwrap();
    record_uses(&tx, &[(over.id, LastUse::seen(hour(5), None))]).unwrap();
    mark_revoked(&tx, gone.id, NOW).unwrap();
    assert_eq!(last_use(&tx), Some(hour(2)));
    mark_revoked(&tx, expiring.id, NOW).unwrap();
    assert_eq!(last_use(&tx), Some(hour(1)));
}
