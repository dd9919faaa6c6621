//! A mixed load for a long time at 70 % of the peak: memory must not grow, nor the write-ahead log.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::{
    Result,
    args::Args,
    client::{Client, Wire},
    measure::{self, count},
    process::Binaries,
    report::line,
    scenarios::{Next, Scenario, creates, gets, lists, shared, wal_bytes},
    seed::Seed,
};

const CLIENTS: usize = 16;
const PEAK_FOR: Duration = Duration::from_secs(10);
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// Memory grows to its working size first; the slope is taken over what follows.
const SETTLING: f64 = 0.2;

struct Sample {
    seconds: f64,
    resident_kib: f64,
    wal_bytes: u64,
}

/// Runs for `duration`.
pub(crate) async fn run(args: &Args, binaries: &Binaries, duration: Duration) -> Result<()> {
    let tokens = args.tokens.last().copied().unwrap_or(1_000_000);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = folder.path().join("sustained.db");
    let seed = Seed::get(tokens).await?;
    seed.copy_to(&path)?;
    let server = binaries.serve(0, &path)?;
    let mix = Scenario {
        name: "mix".to_owned(),
        server: 0,
        wire: Wire::Proto,
        clients: CLIENTS,
        next: mix(&seed),
        turns: vec![],
    };
    let peak = measure::turn(&server, &mix, PEAK_FOR).await?.rate;
    let rate = peak * 0.7;
    line(&format!(
        "{tokens} tokens: peak {peak:.0} calls/s, holding {rate:.0} for {duration:?}"
    ));
    let begin = Instant::now();
    let end = begin + duration;
    let connect = (0..CLIENTS).map(|_| Client::connect(server.address, Wire::Proto));
    let clients = try_join_all(connect).await?;
    let pace = Duration::from_secs_f64(count(CLIENTS) / rate);
    let paced = clients.into_iter().enumerate().map(|(at, client)| {
        let first = begin + pace.mul_f64(count(at) / count(CLIENTS));
        call_at_pace(client, &mix.next, first, pace, end)
    });
    let watch = async {
        let mut samples = vec![];
        while Instant::now() < end {
            tokio::time::sleep(SAMPLE_EVERY).await;
            samples.push(Sample {
                seconds: begin.elapsed().as_secs_f64(),
                resident_kib: f64::from(server.resident_kib()?),
                wal_bytes: wal_bytes(&path),
            });
        }
        Ok(samples)
    };
    let (calls, samples) = tokio::try_join!(try_join_all(paced), watch)?;
    let calls = count(calls.into_iter().sum());
    line(&format!(
        "answered {:.0} calls/s",
        calls / begin.elapsed().as_secs_f64()
    ));
    tell(&samples);
    Ok(())
}

/// 18 reads, a list and a create in twenty.
fn mix(seed: &Seed) -> Next {
    let readers = shared(&seed.bearers.readers);
    let get = gets(&readers, Wire::Proto);
    let list = lists(&readers, String::new());
    let create = creates(&shared(&seed.bearers.creators));
    let turn = std::cell::Cell::new(0_u32);
    Box::new(move || {
        turn.set(turn.get().wrapping_add(1));
        match turn.get() % 20 {
            0 => list(),
            10 => create(),
            _ => get(),
        }
    })
}

/// A call each `pace`, or as soon as the one before it is answered.
async fn call_at_pace(
    mut client: Client,
    next: &Next,
    first: Instant,
    pace: Duration,
    end: Instant,
) -> Result<usize> {
    let (mut at, mut calls) = (first, 0);
    while at < end {
        tokio::time::sleep_until(at.into()).await;
        client.call(next()).await?;
        calls += 1;
        at += pace;
    }
    Ok(calls)
}

fn tell(samples: &[Sample]) {
    let settled = samples.len().min(measure_from(samples.len()));
    let settled = &samples[settled..];
    let n = count(settled.len());
    let mean = |value: fn(&Sample) -> f64| settled.iter().map(value).sum::<f64>() / n;
    let (seconds, kib) = (mean(|s| s.seconds), mean(|s| s.resident_kib));
    let covariance: f64 = settled
        .iter()
        .map(|s| (s.seconds - seconds) * (s.resident_kib - kib))
        .sum();
    let variance: f64 = settled.iter().map(|s| (s.seconds - seconds).powi(2)).sum();
    let length =
        settled.last().map_or(0.0, |s| s.seconds) - settled.first().map_or(0.0, |s| s.seconds);
    let growth = covariance / variance * length / kib * 100.0;
    let wal = samples.iter().map(|s| s.wal_bytes).max().unwrap_or(0);
    line(&format!(
        "resident {:.1} MiB; its slope over the last {length:.0} s: {growth:+.2} % of it (goal: ≤ 5 %)",
        kib / 1024.0
    ));
    line(&format!(
        "largest write-ahead log: {} KiB (goal: ≤ 16384)",
        wal >> 10
    ));
}

/// Where the settled part begins.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length"
)]
fn measure_from(samples: usize) -> usize {
    (count(samples) * SETTLING) as usize
}
