use std::net::Ipv4Addr;

use crate::domain::token::Invalid;

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

/// A client in the `n`th site.
fn client(n: u32) -> ClientInfo {
    ClientInfo {
        request_id: RequestId::generate(NOW),
        client_request_id: Some("build-42".to_owned()),
        ip: Some(Ipv4Addr::from_bits(0x0A00_0007 + (n << 8)).into()),
        user_agent: "curl".to_owned(),
    }
}

fn revoked(failed_auth: &FailedAuthAggregator, from: u32) {
    let id = TokenId::generate(NOW);
    failed_auth.token(NOW, Invalid::Revoked.into(), id, &client(from));
}

/// All rows of a minute, taken once a second.
fn a_minute_of(failed_auth: &FailedAuthAggregator) -> Vec<AuditEvent> {
    let seconds = 0..=60;
    seconds
        .flat_map(|second| failed_auth.take(NOW.plus(SECOND * second), false))
        .collect()
}

#[test]
fn first_refusal_is_a_row_at_once_and_the_rest_are_an_anonymous_count() {
    let failed_auth = FailedAuthAggregator::default();
    let account = UserId::generate(NOW);
    for _ in 0..1_000 {
        failed_auth.password(NOW, Some(account), &client(1));
    }
    let first = failed_auth.take(NOW, false);
    let told: Vec<_> = first
        .iter()
        .map(|e| (&*e.target, &*e.ip, e.count))
        .collect();
    assert_eq!(told, [(&*account.to_string(), "10.0.1.7", 1)]);
    assert_eq!(first[0].credential_kind, "password");
    assert_eq!(failed_auth.take(NOW.plus(WINDOW / 2), false), []);
    let rest = failed_auth.take(NOW.plus(WINDOW), false);
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
    assert_eq!(failed_auth.take(NOW.plus(WINDOW * 2), true), []);
}

#[test]
fn a_minute_has_at_most_600_rows_and_counts_every_refusal() {
    let failed_auth = FailedAuthAggregator::default();
    for n in 0..100_000 {
        failed_auth.password(NOW, None, &client(n % 50_000));
        failed_auth.throttled(NOW, &client(n % 7));
        revoked(&failed_auth, n % 300);
    }
    let events = a_minute_of(&failed_auth);
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
    // Site 1 floods with revoked tokens, site 5 with passwords; the guesses come from site 1, then from site 2.
    for guesser in [1, 2] {
        let failed_auth = FailedAuthAggregator::default();
        for _ in 0..5_000 {
            revoked(&failed_auth, 1);
        }
        for other in 0..5_000 {
            failed_auth.password(NOW, Some(UserId::generate(NOW)), &client(5));
            let _ = other;
        }
        for _ in 0..4 {
            failed_auth.password(NOW, Some(admin), &client(guesser));
        }
        // The guess must be in the first batch already.
        let events = failed_auth.take(NOW, false);
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
    let failed_auth = FailedAuthAggregator::default();
    for _ in 0..10_000 {
        revoked(&failed_auth, 0);
    }
    let before = failed_auth.take(NOW, false).len();
    assert!(before > 50, "who is alone has more: {before}");
    for from in 1..=200 {
        revoked(&failed_auth, from);
    }
    let events = a_minute_of(&failed_auth);
    for from in 1..=200_u32 {
        let ip = client(from).ip.unwrap().to_string();
        assert!(events.iter().any(|event| event.ip == ip), "{ip}");
    }
}

#[test]
fn all_networks_of_an_ipv6_48_are_one_site() {
    let failed_auth = FailedAuthAggregator::default();
    for n in 0..1_000_u16 {
        let ip = std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, n, 0, 0, 0, 1);
        let client = ClientInfo {
            ip: Some(ip.into()),
            ..client(0)
        };
        failed_auth.password(NOW, None, &client);
    }
    assert_eq!(a_minute_of(&failed_auth).len(), 2);
}

#[test]
fn guessed_token_ids_are_not_recorded_and_malformed_tokens_leave_no_row() {
    let failed_auth = FailedAuthAggregator::default();
    for _ in 0..10 {
        let id = TokenId::generate(NOW);
        failed_auth.token(NOW, Unauthenticated::WrongToken, id, &client(1));
        failed_auth.token(NOW, Unauthenticated::Malformed, id, &client(2));
        failed_auth.token(NOW, Unauthenticated::Missing, id, &client(3));
    }
    let events = failed_auth.take(NOW, true);
    let told: Vec<_> = events.iter().map(|e| (&*e.target, e.count)).collect();
    assert_eq!(told, [("", 1), ("", 9)]);
}
