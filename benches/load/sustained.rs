//! A mixed load for a long time at 70 % of the peak: memory must not grow, nor the write-ahead log.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use hallpass::cli::bench::{
    load::{Client, Load, Result, measure},
    requests::Wire,
};

use crate::{
    args::Args,
    calls::{create, get, list},
    process::Binaries,
    report::line,
    scenarios::resident_mib,
    seed::{Bearers, Seed},
};

const CLIENTS: usize = 16;
const PEAK_FOR: Duration = Duration::from_secs(10);
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// Memory grows to its working size first; the slope is taken over the rest.
const SETTLING: f64 = 0.2;

struct Sample {
    seconds: f64,
    resident_mib: f64,
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
    let mix = Arc::new(mix(&seed.bearers));
    let peak = measure(&server, &mix, CLIENTS, PEAK_FOR).await?.rate;
    let rate = peak * 0.7;
    line(&format!(
        "{tokens} tokens: peak {peak:.0} calls/s, holding {rate:.0} for {duration:?}"
    ));
    let begin = Instant::now();
    let end = begin + duration;
    let connect = (0..CLIENTS).map(|_| mix.connect(server.address));
    let clients = try_join_all(connect).await?;
    let pace = Duration::from_secs_f64(count(CLIENTS) / rate);
    let paced = clients.into_iter().enumerate().map(|(at, client)| {
        let first = begin + pace.mul_f64(count(at) / count(CLIENTS));
        call_at_pace(client, &mix, first, pace, end)
    });
    let watch = async {
        let mut samples = vec![];
        while Instant::now() < end {
            tokio::time::sleep(SAMPLE_EVERY).await;
            samples.push(Sample {
                seconds: begin.elapsed().as_secs_f64(),
                resident_mib: resident_mib(&server)?,
                wal_bytes: wal_bytes(&path),
            });
        }
        Ok(samples)
    };
    let (calls, samples) = tokio::try_join!(try_join_all(paced), watch)?;
    let calls = count(calls.into_iter().sum());
    line(&format!(
        "held {:.0} calls/s",
        calls / begin.elapsed().as_secs_f64()
    ));
    report(&samples);
    Ok(())
}

/// 18 reads, a list and a create in twenty.
fn mix(bearers: &Bearers) -> Load {
    let (readers, creators) = (&bearers.readers, &bearers.creators);
    let calls = readers.iter().zip(creators.iter().cycle()).enumerate();
    let call = |(nth, (reader, creator)): (usize, (&String, &String))| match nth % 20 {
        0 => list(reader, 0, ""),
        10 => create(creator),
        _ => get(Wire::Proto, reader, &readers[nth * 7 % readers.len()]),
    };
    Load::new(calls.map(call).collect())
}

/// A call each `pace`, or as soon as the last one is done.
async fn call_at_pace(
    mut client: Client,
    load: &Load,
    first: Instant,
    pace: Duration,
    end: Instant,
) -> Result<usize> {
    let (mut at, mut calls) = (first, 0);
    while at < end {
        tokio::time::sleep_until(at.into()).await;
        load.call(&mut client).await?;
        calls += 1;
        at += pace;
    }
    Ok(calls)
}

fn report(samples: &[Sample]) {
    let settled = &samples[settled_from(samples.len())..];
    let n = count(settled.len());
    let mean = |value: fn(&Sample) -> f64| settled.iter().map(value).sum::<f64>() / n;
    let (seconds, mib) = (mean(|s| s.seconds), mean(|s| s.resident_mib));
    let covariance: f64 = settled
        .iter()
        .map(|s| (s.seconds - seconds) * (s.resident_mib - mib))
        .sum();
    let variance: f64 = settled.iter().map(|s| (s.seconds - seconds).powi(2)).sum();
    let length =
        settled.last().map_or(0.0, |s| s.seconds) - settled.first().map_or(0.0, |s| s.seconds);
    let growth = covariance / variance * length / mib * 100.0;
    let wal = samples.iter().map(|s| s.wal_bytes).max().unwrap_or(0);
    line(&format!(
        "resident {mib:.1} MiB; its slope over the last {length:.0} s: {growth:+.2} % of it (goal: ≤ 5 %)"
    ));
    line(&format!(
        "largest write-ahead log: {} KiB (goal: ≤ 16384)",
        wal >> 10
    ));
}

/// The size of a database's write-ahead log, in bytes.
fn wal_bytes(database: &Path) -> u64 {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    std::fs::metadata(name).map_or(0, |file| file.len())
}

/// Far below where an `f64` grows coarse.
fn count(calls: usize) -> f64 {
    f64::from(u32::try_from(calls).unwrap_or(u32::MAX))
}

/// Where the settled part begins.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length"
)]
fn settled_from(samples: usize) -> usize {
    (count(samples) * SETTLING) as usize
}
