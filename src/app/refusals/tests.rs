use std::net::Ipv4Addr;

use crate::domain::token::Invalid;

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

/// An origin in the `n`th site.
fn origin(n: u32) -> Origin {
    Origin {
        request_id: RequestId::generate(NOW),
        client_request_id: Some("build-42".to_owned()),
        ip: Some(Ipv4Addr::from_bits(0x0A00_0007 + (n << 8)).into()),
        user_agent: "curl".to_owned(),
    }
}

fn deleted(refusals: &Refusals, from: u32) {
    let id = TokenId::generate(NOW);
    refusals.token(NOW, Invalid::Deleted.into(), id, &origin(from));
}

/// All rows of a minute, taken once a second.
fn a_minute_of(refusals: &Refusals) -> Vec<AuditEvent> {
    let seconds = 0..=60;
    seconds
        .flat_map(|second| refusals.take(NOW.plus(SECOND * second), false))
        .collect()
}

#[test]
fn first_refusal_is_a_row_at_once_and_the_rest_are_an_anonymous_count() {
    let refusals = Refusals::default();
    let account = UserId::generate(NOW);
    for _ in 0..1_000 {
        refusals.password(NOW, Some(account), &origin(1));
    }
    let first = refusals.take(NOW, false);
    let told: Vec<_> = first
        .iter()
        .map(|e| (&*e.target, &*e.ip, e.count))
        .collect();
    assert_eq!(told, [(&*account.to_string(), "10.0.1.7", 1)]);
    assert_eq!(first[0].credential_kind, "password");
    assert_eq!(refusals.take(NOW.plus(WINDOW / 2), false), []);
    let rest = refusals.take(NOW.plus(WINDOW), false);
    let [rest] = &rest[..] else {
        panic!("{rest:?}");
    };
    assert_eq!(
        (rest.action, rest.outcome, rest.count),
        (PASSWORD, "CREDENTIALS_INVALID", 999)
    );
    let who = [
        &rest.actor,
        &rest.credential_id,
        &rest.target,
        &rest.client_request_id,
    ];
    assert!(
        who.into_iter()
            .chain([&rest.ip, &rest.user_agent])
            .all(String::is_empty)
    );
    assert_eq!(refusals.take(NOW.plus(WINDOW * 2), true), []);
}

#[test]
fn a_minute_has_at_most_600_rows_and_counts_every_refusal() {
    let refusals = Refusals::default();
    for n in 0..100_000 {
        refusals.password(NOW, None, &origin(n % 50_000));
        refusals.throttled(NOW, &origin(n % 7));
        deleted(&refusals, n % 300);
    }
    let events = a_minute_of(&refusals);
    assert!(
        (580..=MAX_ROWS).contains(&events.len()),
        "{} rows",
        events.len()
    );
    assert_eq!(events.iter().map(|event| event.count).sum::<u32>(), 300_000);
    // Rows that one reason does not need go to the others.
    let rows = |outcome| {
        events
            .iter()
            .filter(|event| event.outcome == outcome)
            .count()
    };
    assert_eq!(rows("SIGN_IN_THROTTLED"), 7 + 1);
}

#[test]
fn floods_of_refused_tokens_and_names_do_not_hide_password_guesses() {
    let admin = UserId::generate(NOW);
    // Site 1 floods with deleted tokens, site 5 with passwords; the guesses come from site 1, then from site 2.
    for guesser in [1, 2] {
        let refusals = Refusals::default();
        for _ in 0..5_000 {
            deleted(&refusals, 1);
        }
        for other in 0..5_000 {
            refusals.password(NOW, Some(UserId::generate(NOW)), &origin(5));
            let _ = other;
        }
        for _ in 0..4 {
            refusals.password(NOW, Some(admin), &origin(guesser));
        }
        // The guess must be in the first batch already.
        let events = refusals.take(NOW, false);
        let found = events
            .iter()
            .find(|event| event.target == admin.to_string());
        let found = found.expect("it has a row");
        assert_eq!(found.ip, format!("10.0.{guesser}.7"));
        assert_eq!(found.count, 1);
    }
}

#[test]
fn flood_from_one_site_leaves_other_sites_their_rows() {
    let refusals = Refusals::default();
    for _ in 0..10_000 {
        deleted(&refusals, 0);
    }
    let before = refusals.take(NOW, false).len();
    assert!(before > 50, "who is alone has more: {before}");
    for from in 1..=200 {
        deleted(&refusals, from);
    }
    let events = a_minute_of(&refusals);
    for from in 1..=200_u32 {
        let ip = origin(from).ip.unwrap().to_string();
        assert!(events.iter().any(|event| event.ip == ip), "{ip}");
    }
}

#[test]
fn all_networks_of_an_ipv6_48_are_one_site() {
    let refusals = Refusals::default();
    for n in 0..1_000_u16 {
        let ip = std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, n, 0, 0, 0, 1);
        let origin = Origin {
            ip: Some(ip.into()),
            ..origin(0)
        };
        refusals.password(NOW, None, &origin);
    }
    assert_eq!(a_minute_of(&refusals).len(), 2);
}

#[test]
fn guessed_token_ids_are_not_recorded_and_malformed_tokens_leave_no_row() {
    let refusals = Refusals::default();
    for _ in 0..10 {
        let id = TokenId::generate(NOW);
        refusals.token(NOW, Unauthenticated::WrongToken, id, &origin(1));
        refusals.token(NOW, Unauthenticated::Malformed, id, &origin(2));
        refusals.token(NOW, Unauthenticated::Missing, id, &origin(3));
    }
    let events = refusals.take(NOW, true);
    let told: Vec<_> = events.iter().map(|e| (&*e.target, e.count)).collect();
    assert_eq!(told, [("", 1), ("", 9)]);
}
