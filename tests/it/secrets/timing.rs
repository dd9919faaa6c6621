//! The duration of a refusal does not reveal its reason: a Mann-Whitney U test at α = 0.01 between wrong passwords of
//! known users and names that cannot sign in.
//!
//! One run in a hundred rejects equal distributions, so a rejection is measured again: only three in a row count,
//! one in a million. Different distributions are rejected every time.

use std::time::{Duration, Instant};

use hallpass::{
    app::passwords::{HashQueue, Hasher, HasherOptions, NewPassword},
    domain::secret::Secret,
};
use serde_json::json;

use crate::{
    client::{Call, Wire},
    test_app::TestApp,
};

const ALPHA: f64 = 0.01;
/// So few tries per user that none is throttled.
const USERS: usize = 13;

/// The two-sided p-value by the normal approximation, which is good from 20 samples on. Ties do not happen.
fn mann_whitney(these: &[Duration], those: &[Duration]) -> f64 {
    let wins = these
        .iter()
        .flat_map(|one| those.iter().map(move |other| one > other));
    let won = count(wins.filter(|won| *won).count());
    let (here, there) = (count(these.len()), count(those.len()));
    let spread = (here * there * (here + there + 1.0) / 12.0).sqrt();
    let z = (won - here * there / 2.0) / spread;
    // The normal distribution's tail, Abramowitz and Stegun 26.2.17: |error| < 7.5e-8.
    let z = z.abs();
    let t = 1.0 / (0.231_641_9 * z + 1.0);
    let polynomial = [
        1.330_274_429,
        -1.821_255_978,
        1.781_477_937,
        -0.356_563_782,
        0.319_381_530,
    ]
    .into_iter()
    .fold(0.0, |sum, factor| (sum + factor) * t);
    2.0 * polynomial * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap())
}

async fn measure(app: &TestApp, names: &[&str; 2], n: usize) -> [Duration; 2] {
    let mut took = [Duration::ZERO; 2];
    // Alternating, so that a slow machine affects both; each is first as often as second.
    for turn in 0..2 {
        let which = (turn + n) % 2;
        let name = format!("{}-{}", names[which], n % USERS);
        let message = json!({ "username": name, "password": "a wrong one, as long as any" });
        let from = format!("10.0.{n}.{which}");
        let call = Call::new("TokenService/CreateToken", message).header("x-forwarded-for", &from);
        // Unknown networks of an account have one guess a second.
        app.clock.advance(Duration::from_secs(1));
        let begin = Instant::now();
        let answer = app.client.call(Wire::CURL, call).await;
        took[which] = begin.elapsed();
        answer.refused("unauthenticated", "CREDENTIALS_INVALID");
    }
    took
}

#[tokio::test]
async fn known_and_unknown_users_take_the_same_time() {
    let app = TestApp::start_with(|settings| {
        // With the default hashing cost, of which differences are only microseconds.
        settings.app.passwords = HasherOptions::default();
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let admin = &app.admin.token;
    let create = async |name: String, fields: serde_json::Value| {
        let mut message = json!({ "username": name });
        message
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let created = app
            .call(admin, "UserService/CreateUser", message)
            .await
            .ok();
        created["user"]["id"].clone()
    };
    for n in 0..USERS {
        let password = json!({ "password": "seven drowsy lanterns hum" });
        create(format!("known-{n}"), password.clone()).await;
        let machine = json!({ "userType": "USER_TYPE_MACHINE" });
        create(format!("machine-{n}"), machine).await;
        let id = create(format!("inactive-{n}"), password).await;
        let deactivate = app.call(admin, "UserService/DeactivateUser", json!({ "id": id }));
        deactivate.await.ok();
    }
    for (others, sign_ins) in [("unknown", 100), ("machine", 50), ("inactive", 50)] {
        let mut ps = Vec::new();
        for _ in 0..3 {
            let (mut known, mut other) = (Vec::new(), Vec::new());
            for n in 0..sign_ins {
                let [a, b] = measure(&app, &["known", others], n).await;
                known.push(a);
                other.push(b);
            }
            ps.push(mann_whitney(&known, &other));
            // Old failures expire, so that they do not throttle the next run.
            app.clock.advance(Duration::from_hours(24));
            if ps.last().is_some_and(|p| *p >= ALPHA) {
                break;
            }
        }
        assert!(ps.last().is_some_and(|p| *p >= ALPHA), "{others}: {ps:?}");
    }
}

/// The control: without the dummy hash, the first run rejects.
#[tokio::test]
async fn missing_dummy_hash_is_detected_by_time() {
    let hasher = Hasher::start(&HasherOptions::default()).unwrap();
    let right = Secret::new("seven drowsy lanterns hum".to_owned());
    let stored = hasher.hash(NewPassword::parse(&right, "alice").unwrap());
    let (stored, wrong) = (stored.await.unwrap(), Secret::new("wrong".to_owned()));
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        for stored in [Some(&stored), None] {
            let begin = Instant::now();
            let matches = match stored {
                Some(stored) => {
                    hasher
                        .verify(HashQueue::Others, &wrong, Some(stored))
                        .await
                        .unwrap()
                        .matches
                }
                None => false,
            };
            assert!(!matches);
            let took = if stored.is_some() {
                &mut known
            } else {
                &mut unknown
            };
            took.push(begin.elapsed());
        }
    }
    assert!(mann_whitney(&known, &unknown) < ALPHA);
    // And it does not reject equal distributions: the odd samples of a series against the even ones.
    let (even, odd): (Vec<_>, Vec<_>) = known.chunks_exact(2).map(|two| (two[0], two[1])).unzip();
    assert!(mann_whitney(&even, &odd) > 1e-6);
}
