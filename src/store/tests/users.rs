//! Storing and finding users.

use crate::{
    domain::{
        note::Note,
        page::Position,
        time::Timestamp,
        user::{Role, User, UserKind},
    },
    store::{
        Error, Tx, sqlite,
        tests::samples::{NOW, machine, person},
        users::*,
    },
};

fn names(users: &[User]) -> Vec<&str> {
    users.iter().map(|user| user.username.as_str()).collect()
}

#[test]
fn a_stored_user_round_trips() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let mut alice = person("alice");
    let mut bot = machine("bot", &alice);
    insert(&tx, &alice, Some("hash")).unwrap();
    insert(&tx, &bot, None).unwrap();
    alice.role = Role::Admin;
    alice.deactivated = true;
    alice.description = Note::parse("Alice, \u{1f680}".to_owned()).unwrap();
    let carol = person("carol");
    insert(&tx, &carol, None).unwrap();
    bot.kind = UserKind::Machine { owner: carol.id };
    for user in [&alice, &bot] {
        assert!(update(&tx, user).unwrap());
        assert_eq!(find(&tx, user.id).unwrap().as_ref(), Some(user));
        let by_name = find_by_username(&tx, &user.username).unwrap();
        assert_eq!(by_name.as_ref(), Some(user));
    }
    assert!(!update(&tx, &person("nobody")).unwrap());
    let (user, hash) = find_sign_in(&tx, &alice.username).unwrap().unwrap();
    assert_eq!((user, hash.as_deref()), (alice.clone(), Some("hash")));
    let (_, hash) = find_sign_in(&tx, &bot.username).unwrap().unwrap();
    assert_eq!(hash, None);
    assert!(set_password_hash(&tx, alice.id, "other", NOW).unwrap());
    assert!(!set_password_hash(&tx, bot.id, "other", NOW).unwrap());
    assert_eq!(
        password_hash(&tx, alice.id).unwrap().as_deref(),
        Some("other")
    );
}

#[test]
fn a_deleted_user_is_gone_except_for_its_name() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    assert!(is_empty(&tx).unwrap());
    let alice = person("alice");
    insert(&tx, &alice, Some("hash")).unwrap();
    assert!(mark_deleted(&tx, alice.id, NOW).unwrap());
    assert!(!mark_deleted(&tx, alice.id, NOW).unwrap());
    assert_eq!(find(&tx, alice.id).unwrap(), None);
    assert_eq!(find_by_username(&tx, &alice.username).unwrap(), None);
    assert!(find_sign_in(&tx, &alice.username).unwrap().is_none());
    assert_eq!(password_hash(&tx, alice.id).unwrap(), None);
    assert!(!update(&tx, &alice).unwrap());
    assert!(!set_password_hash(&tx, alice.id, "other", NOW).unwrap());
    let all = UserFilter::default();
    assert_eq!(list(&tx, &all, None, false, 9).unwrap(), []);
    assert_eq!(count(&tx, &all).unwrap(), 0);
    assert!(username_taken(&tx, &alice.username).unwrap());
    assert!(!is_empty(&tx).unwrap());
    let again = insert(&tx, &person("alice"), None).unwrap_err();
    assert!(matches!(again, Error::Constraint { .. }), "{again:?}");
    let left: (String, Option<String>) = connection
        .query_row("SELECT description, password_hash FROM users", (), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(left, (String::new(), None));
}

#[test]
fn lists_and_counts_agree_for_every_filter() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let mut admin = person("admin");
    admin.role = Role::Admin;
    let alice = person("alice");
    let mut users = vec![admin.clone(), alice.clone()];
    for (number, owner) in [&admin, &alice, &alice, &alice].into_iter().enumerate() {
        let mut bot = machine(&format!("bot-{number}"), owner);
        bot.role = Role::Admin;
        bot.deactivated = number == 2;
        users.push(bot);
    }
    for (time, user) in (0..).zip(&mut users) {
        // Pairs share a time, so that the ID decides.
        user.create_time = Timestamp::from_micros(time / 2);
        insert(&tx, user, None).unwrap();
    }
    let bot = users[3].id;
    for visible_to in [None, Some(alice.id), Some(bot)] {
        for deactivated in [None, Some(true), Some(false)] {
            for kind in [None, Some(KindFilter::People), Some(KindFilter::Machines)] {
                let filter = UserFilter {
                    visible_to,
                    deactivated,
                    kind,
                };
                let mut expected = users.clone();
                expected.retain(|user| {
                    visible_to.is_none_or(|id| user.id == id || user.is_machine_of(id))
                        && deactivated.is_none_or(|state| user.deactivated == state)
                        && kind.is_none_or(|kind| {
                            (kind == KindFilter::People) == user.owner().is_none()
                        })
                });
                expected.sort_by_key(|user| (user.create_time, user.id));
                for reverse in [false, true] {
                    assert_eq!(names(&pages(&tx, &filter, reverse)), names(&expected));
                    expected.reverse();
                }
                let counted = count(&tx, &filter).unwrap();
                assert_eq!(counted, u64::try_from(expected.len()).unwrap());
            }
        }
    }
    assert_eq!(count_active_admins(&tx).unwrap(), 1);
    assert_eq!(count_machines(&tx, alice.id).unwrap(), 3);
}

/// All pages of two users.
fn pages(tx: &Tx<'_>, filter: &UserFilter, reverse: bool) -> Vec<User> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = list(tx, filter, after, reverse, 2).unwrap();
        let Some(last) = page.last() else {
            return all;
        };
        after = Some(Position {
            major: last.create_time.as_micros(),
            minor: last.id.id().as_u128(),
        });
        all.extend(page);
    }
}
