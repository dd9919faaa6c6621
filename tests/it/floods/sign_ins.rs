//! 200 sign-ins at once, at the real binary with the hashing cost that it has by default.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::memory;
use crate::{
    cli::sandbox::Sandbox,
    client::{Call, Client, Reply, Wire},
};

const CONCURRENT: usize = 200;

/// Wrong passwords, each for a name and from a network of its own: no throttle stands in their way.
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

/// How long token requests take, one after the other, while `busy` goes on or for as many as `least`.
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
async fn sign_ins_by_the_200_are_bounded_and_harm_no_token_request() {
    let sandbox = Sandbox::empty();
    let server = sandbox.serve(&["--trusted-proxy=127.0.0.0/8", "--handler-timeout=60s"]);
    sandbox.create_person("alice");
    let token = sandbox.create_token("alice", &[]);
    let client = Client::new(server.address.parse().unwrap());
    let idle = memory::kib(server.id(), "VmHWM");
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
                // Addresses that share a lane wait for each other, for two seconds at most.
                ("resource_exhausted", "SIGN_IN_THROTTLED") => {
                    assert!(failure.detail("RetryInfo").is_some(), "{failure:?}");
                    shared += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        // 64 places, less who shares a lane; more only as far as places come free while the flood comes in.
        assert!((60..=110).contains(&checked), "{checked} were checked");
        assert!(shared <= 20, "{shared} shared a lane");
        refused.sort();
        let slowest = percentile(&refused, 95);
        assert!(slowest < Duration::from_secs(1), "at once: {slowest:?}");
    }
    let most = memory::kib(server.id(), "VmHWM");
    eprintln!("p99 (flooded, calm, requests): {rounds:?}; VmHWM {idle} KiB, then {most} KiB");
    // One thread's 19 MiB, and what 200 connections and requests take.
    assert!(
        most <= idle + 19 * 1024 + 16 * 1024,
        "{idle} KiB, then {most} KiB"
    );
    rounds.sort();
    let (flooded, calm, _) = rounds[rounds.len() / 2];
    // Or what the machine itself does to a calm server, where that is worse.
    let bar = Duration::from_millis(50).max(calm * 2);
    assert!(flooded <= bar, "median of p99: {flooded:?}, calm {calm:?}");
}
