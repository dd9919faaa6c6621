//! 200 concurrent sign-ins to the real binary with its default hashing cost.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::kib;
use crate::{
    cli::sandbox::Sandbox,
    client::{Call, Client, Reply, Wire},
};

const CONCURRENT: usize = 200;

/// Sends wrong passwords, each for another name and from another network, so that none is throttled.
async fn flood(client: &Client, round: usize) -> Vec<(Duration, Reply)> {
    let attempts = (0..CONCURRENT).map(|n| async move {
        let message = json!({ "username": format!("name-{round}-{n}"), "password": "wrong" });
        let from = format!("10.{round}.{n}.1");
        let call = Call::new("TokenService/CreateToken", message).header("x-forwarded-for", &from);
        let begin = Instant::now();
        let answer = client.call(Wire::CURL, call).await;
        (begin.elapsed(), answer)
    });
    join_all(attempts).await
}

/// Durations of sequential token requests while `busy` runs, but at least `least` of them.
async fn measure(
    client: &Client,
    token: &str,
    least: usize,
    busy: impl Fn() -> bool,
) -> Vec<Duration> {
    let mut took = Vec::new();
    while busy() || took.len() < least {
        let call = Call::new("TokenService/ListTokens", json!({})).bearer(token);
        let begin = Instant::now();
        client.call(Wire::CURL, call).await.ok();
        took.push(begin.elapsed());
    }
    took.sort();
    took
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100) - 1]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "what was measured is worth reading")]
async fn two_hundred_sign_ins_are_bounded_and_delay_no_token_request() {
    let sandbox = Sandbox::empty();
    let server = sandbox.serve(&["--trusted-proxy=127.0.0.0/8", "--handler-timeout=60s"]);
    sandbox.create_person("alice");
    let token = sandbox.create_token("alice", &[]);
    let client = Client::new(server.address.parse().unwrap());
    let idle = kib(server.id(), "VmHWM");
    let mut rounds = Vec::new();
    for round in 0..3 {
        let calm = measure(&client, &token, 300, || false).await;
        let flooding = tokio::spawn({
            let client = client.clone();
            async move { flood(&client, round).await }
        });
        let flooded = measure(&client, &token, 100, || !flooding.is_finished()).await;
        rounds.push((
            percentile(&flooded, 99),
            percentile(&calm, 99),
            flooded.len(),
        ));
        let (mut checked, mut shared, mut refused) = (0, 0, Vec::new());
        for (took, answer) in flooding.await.unwrap() {
            let failure = answer.result.unwrap_err();
            match (failure.code.as_str(), failure.reason()) {
                ("unauthenticated", "CREDENTIALS_INVALID") => checked += 1,
                ("resource_exhausted", "OVERLOADED") => {
                    assert!(failure.detail("RetryInfo").is_some(), "{failure:?}");
                    assert!(answer.headers.contains_key("retry-after"));
                    refused.push(took);
                }
                // Addresses that share a queue wait for each other, for two seconds at most.
                ("resource_exhausted", "SIGN_IN_THROTTLED") => {
                    assert!(failure.detail("RetryInfo").is_some(), "{failure:?}");
                    shared += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        // The queue has 64 slots, minus shared ones; more are checked only as slots become free during the flood.
        assert!((60..=110).contains(&checked), "{checked} were checked");
        assert!(shared <= 20, "{shared} shared a queue");
        refused.sort();
        let slowest = percentile(&refused, 95);
        assert!(
            slowest < Duration::from_secs(1),
            "refusals must be immediate: {slowest:?}"
        );
    }
    let most = kib(server.id(), "VmHWM");
    eprintln!("p99 (flooded, calm, requests): {rounds:?}; VmHWM {idle} KiB, then {most} KiB");
    // One thread's 19 MiB, and the memory of 200 connections and requests.
    assert!(
        most <= idle + 19 * 1024 + 16 * 1024,
        "{idle} KiB, then {most} KiB"
    );
    rounds.sort();
    let (flooded, calm, _) = rounds[rounds.len() / 2];
    // Or the p99 of an idle server on this machine, if that is worse.
    let bar = Duration::from_millis(50).max(calm * 2);
    assert!(flooded <= bar, "median of p99: {flooded:?}, calm {calm:?}");
}
