//! Searching and counting tokens.

use std::{collections::BTreeSet, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    domain::{
        id::TokenId,
        scope::ScopeSet,
        time::Timestamp,
        token::{DisabledBy, LastUse, Token, TokenState},
        user::User,
    },
    metrics::TokenCounts,
    store::{
        Tx, sqlite,
        tests::samples::{NOW, hash, person, token},
        tokens::{MAX_ROWS, StateFilter, TokenFilter, count, find_selected, insert, search},
        users,
    },
};

/// A second, independent implementation of the filter.
fn selects(filter: &TokenFilter, token: &Token) -> bool {
    let state = token.state(NOW);
    let unused =
        |time| token.create_time < time && token.last_use.is_none_or(|used| used.time < time);
    let in_state = match filter.state {
        StateFilter::Any => state.is_some(),
        StateFilter::Is(wanted) => state == Some(wanted),
        StateFilter::Live => state.is_some() && state != Some(TokenState::Expired),
    };
    in_state
        && filter.user.is_none_or(|user| token.user_id == user)
        && filter.family.is_none_or(|family| token.family_id == family)
        && filter
            .parent
            .is_none_or(|parent| token.parent_id == Some(parent))
        && filter
            .created_from
            .is_none_or(|time| token.create_time >= time)
        && filter
            .created_before
            .is_none_or(|time| token.create_time < time)
        && filter.unused_since.is_none_or(unused)
        && filter
            .expires_before
            .is_none_or(|time| token.expire_time.is_some_and(|end| end < time))
        && filter
            .expiring_before
            .is_none_or(|time| token.expire_time.is_some_and(|end| end > NOW && end < time))
        && (!filter.never_expires || token.expire_time.is_none())
        && filter
            .scope
            .as_ref()
            .is_none_or(|scope| token.scopes.iter().any(|own| own == scope))
        && !filter.except.contains(&token.id)
}

fn time(dice: &mut StdRng) -> Timestamp {
    // Several in a millisecond, around the current time.
    NOW.minus(Duration::from_millis(3))
        .plus(Duration::from_micros(dice.random_range(0..6_000)))
}

const SCOPES: [&[&str]; 5] = [&[], &["a_b"], &["axb"], &["a_b", "c"], &["a_b:c"]];

/// A random token of any kind, which refers to some of `others`.
fn any_token(dice: &mut StdRng, owners: &[User], others: &[Token]) -> Token {
    let owner = &owners[dice.random_range(0..owners.len())];
    let create_time = time(dice);
    let id = TokenId::generate(create_time);
    let mut new = token(owner);
    new.id = id;
    new.create_time = create_time;
    new.expire_time = dice.random_bool(0.7).then(|| time(dice));
    new.disabled = dice.random_bool(0.3).then_some(DisabledBy::Owner);
    new.delete_time = dice.random_bool(0.2).then_some(NOW);
    new.scopes =
        ScopeSet::parse(SCOPES[dice.random_range(0..SCOPES.len())].iter().copied()).unwrap();
    new.last_use = dice
        .random_bool(0.5)
        .then(|| LastUse::seen(time(dice), None));
    new.family_id = id;
    if !others.is_empty() && dice.random_bool(0.6) {
        new.parent_id = Some(others[dice.random_range(0..others.len().min(4))].id);
    }
    if !others.is_empty() && dice.random_bool(0.4) {
        new.family_id = others[dice.random_range(0..others.len().min(4))].family_id;
    }
    new
}

fn any_filter(dice: &mut StdRng, owners: &[User], tokens: &[Token]) -> TokenFilter {
    let state = [
        StateFilter::Any,
        StateFilter::Live,
        StateFilter::Is(TokenState::Active),
        StateFilter::Is(TokenState::Disabled),
        StateFilter::Is(TokenState::Expired),
    ][dice.random_range(0..5)];
    let some = |dice: &mut StdRng| dice.random_bool(0.2).then(|| time(dice));
    TokenFilter {
        created_from: some(dice),
        created_before: some(dice),
        unused_since: some(dice),
        expires_before: some(dice),
        expiring_before: some(dice),
        user: dice
            .random_bool(0.3)
            .then(|| owners[dice.random_range(0..owners.len())].id),
        family: dice
            .random_bool(0.2)
            .then(|| tokens[dice.random_range(0..4)].family_id),
        parent: dice
            .random_bool(0.2)
            .then(|| tokens[dice.random_range(0..4)].id),
        never_expires: dice.random_bool(0.1),
        scope: dice.random_bool(0.3).then(|| "a_b".to_owned()),
        state,
        except: if dice.random_bool(0.2) {
            vec![tokens[0].id]
        } else {
            vec![]
        },
    }
}

/// All pages of at most `limit` tokens.
fn pages(tx: &Tx<'_>, filter: &TokenFilter, reverse: bool, limit: u32) -> Vec<Token> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let found = search(tx, filter, NOW, after, reverse, limit).unwrap();
        assert!(found.tokens.len() <= usize::try_from(limit).unwrap());
        all.extend(found.tokens);
        match found.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

#[test]
fn search_and_count_find_every_matching_token_once_in_either_order() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let mut dice = StdRng::seed_from_u64(1);
    let owners = ["alice", "bob"].map(person);
    for owner in &owners {
        users::insert(&tx, owner, None).unwrap();
    }
    let mut tokens = Vec::new();
    for _ in 0..300 {
        let token = any_token(&mut dice, &owners, &tokens);
        insert(&tx, &token, &hash(&token)).unwrap();
        if let Some(used) = token.last_use {
            let sql = "UPDATE tokens SET last_use_time = ?2 WHERE id = ?1";
            tx.execute(sql, &[token.id.into(), used.time.into()])
                .unwrap();
        }
        tokens.push(token);
    }
    let mut seen_any = 0;
    for _ in 0..400 {
        let filter = any_filter(&mut dice, &owners, &tokens);
        let expected: Vec<_> = tokens
            .iter()
            .filter(|token| selects(&filter, token))
            .collect();
        let ids: BTreeSet<_> = expected.iter().map(|token| token.id).collect();
        seen_any += usize::from(!ids.is_empty());
        for (reverse, limit) in [(false, 7), (true, 3), (false, 300)] {
            let found = pages(&tx, &filter, reverse, limit);
            let found_ids: BTreeSet<_> = found.iter().map(|token| token.id).collect();
            assert_eq!(found_ids, ids, "{filter:?}");
            assert_eq!(found.len(), ids.len(), "{filter:?}: one came twice");
            let place = |token: &Token| match filter.expiring_before {
                Some(_) => token.expire_time.unwrap().as_micros(),
                None => token.create_time.as_micros() / 1_000,
            };
            let sorted = if reverse {
                found.is_sorted_by(|a, b| place(a) >= place(b))
            } else {
                found.is_sorted_by_key(place)
            };
            assert!(sorted, "{filter:?}");
        }
        let of = |state| {
            let of_it = expected
                .iter()
                .filter(|token| token.state(NOW) == Some(state));
            u64::try_from(of_it.count()).unwrap()
        };
        let counts = TokenCounts {
            active: of(TokenState::Active),
            disabled: of(TokenState::Disabled),
            expired: of(TokenState::Expired),
            deleted: 0,
        };
        assert_eq!(
            count(&tx, &filter, NOW, None).unwrap(),
            (counts, None),
            "{filter:?}"
        );
        for token in &tokens[..20] {
            let found = find_selected(&tx, &filter, NOW, token.id).unwrap();
            assert_eq!(found.is_some(), ids.contains(&token.id), "{filter:?}");
        }
    }
    assert!(seen_any > 150, "only {seen_any} filters selected anything");
}

#[test]
fn a_call_scans_a_bounded_number_of_rows_and_returns_where_to_continue() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let alice = person("alice");
    users::insert(&tx, &alice, None).unwrap();
    let rows = 2 * MAX_ROWS + 5;
    let secret = hash(&token(&alice));
    for number in 0..rows {
        let mut new = token(&alice);
        new.disabled = [1, rows - 1].contains(&number).then_some(DisabledBy::Owner);
        new.create_time = NOW.plus(Duration::from_millis(number.into()));
        new.id = TokenId::generate(new.create_time);
        new.family_id = new.id;
        insert(&tx, &new, &secret).unwrap();
    }
    let filter = TokenFilter {
        state: StateFilter::Is(TokenState::Disabled),
        ..TokenFilter::default()
    };
    for reverse in [false, true] {
        let (mut after, mut sizes) = (None, Vec::new());
        loop {
            let found = search(&tx, &filter, NOW, after, reverse, 50).unwrap();
            sizes.push(found.tokens.len());
            let Some(next) = found.next else { break };
            after = Some(next);
        }
        assert_eq!(sizes, [1, 0, 1], "{reverse}");
    }
    let (mut after, mut counts, mut calls) = (None, TokenCounts::default(), 0);
    loop {
        let (part, next) = count(&tx, &filter, NOW, after).unwrap();
        (counts, calls) = (counts.plus(part), calls + 1);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((counts.disabled, counts.active, calls), (2, 0, 3));
}

#[test]
fn searches_of_a_user_parent_or_family_are_bounded_too() {
    let connection = sqlite::in_memory();
    let tx = sqlite::transaction(&connection);
    let alice = person("alice");
    users::insert(&tx, &alice, None).unwrap();
    let rows = 2 * MAX_ROWS + 5;
    let first = token(&alice);
    let secret = hash(&first);
    let mut expired = BTreeSet::new();
    for number in 0..rows {
        let mut new = token(&alice);
        new.create_time = NOW.plus(Duration::from_millis(number.into()));
        new.id = TokenId::generate(new.create_time);
        (new.parent_id, new.family_id) = (Some(first.id), first.id);
        if [1, MAX_ROWS, rows - 1].contains(&number) {
            new.expire_time = Some(NOW);
            expired.insert(new.id);
        }
        insert(&tx, &new, &secret).unwrap();
    }
    let none = TokenFilter::default;
    let of = [
        TokenFilter {
            user: Some(alice.id),
            ..none()
        },
        TokenFilter {
            parent: Some(first.id),
            ..none()
        },
        TokenFilter {
            family: Some(first.id),
            ..none()
        },
    ];
    for filter in of {
        let filter = TokenFilter {
            state: StateFilter::Is(TokenState::Expired),
            ..filter
        };
        for reverse in [false, true] {
            let found = pages(&tx, &filter, reverse, 2);
            let ids: BTreeSet<_> = found.iter().map(|token| token.id).collect();
            assert_eq!((found.len(), &ids), (3, &expired), "{filter:?}");
        }
        let once = search(&tx, &filter, NOW, None, false, 50).unwrap();
        assert_eq!(once.tokens.len(), 1, "{filter:?}: it looked too far");
        let (mut after, mut counts, mut calls) = (None, TokenCounts::default(), 0);
        loop {
            let (part, next) = count(&tx, &filter, NOW, after).unwrap();
            (counts, calls) = (counts.plus(part), calls + 1);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((counts.expired, calls), (3, 3), "{filter:?}");
    }
}
