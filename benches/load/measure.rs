//! Turns and rounds.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::{
    Result,
    args::Args,
    client::{Client, call_until},
    process::Server,
    scenarios::{Next, Prepared, Scenario},
};

/// Before a turn's measurement begins: connections are made and caches warmed.
const WARM_UP: Duration = Duration::from_millis(200);

/// What a turn showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Calls a second.
    pub(crate) rate: f64,
    /// CPU time of the server, in microseconds a call.
    pub(crate) cpu_us: f64,
    /// Half of the calls were answered within so many microseconds.
    pub(crate) p50_us: f64,
    /// 99 of 100 calls were.
    pub(crate) p99_us: f64,
    /// The server's resident memory at the end, in MiB.
    pub(crate) resident_mib: f64,
}

/// All scenarios take turns, round by round.
pub(crate) async fn rounds(args: &Args, all: &mut Prepared) -> Result<()> {
    for round in 0..args.rounds {
        eprintln!("round {} of {}", round + 1, args.rounds);
        for scenario in &mut all.scenarios {
            let server = &all.servers[scenario.server];
            let measured = turn(server, scenario, args.turn).await?;
            scenario.turns.push(measured);
        }
    }
    Ok(())
}

/// One turn of a scenario.
pub(crate) async fn turn(server: &Server, scenario: &Scenario, length: Duration) -> Result<Turn> {
    let connect = (0..scenario.clients).map(|_| Client::connect(server.address, scenario.wire));
    let mut clients = try_join_all(connect).await?;
    drop(load(&mut clients, &scenario.next, WARM_UP).await?);
    let (cpu, begin) = (server.cpu()?, Instant::now());
    let mut took = load(&mut clients, &scenario.next, length).await?;
    let elapsed = begin.elapsed().as_secs_f64();
    let cpu = server.cpu()?.saturating_sub(cpu);
    took.sort_unstable();
    let calls = count(took.len());
    Ok(Turn {
        rate: calls / elapsed,
        cpu_us: cpu.as_secs_f64() * 1e6 / calls,
        p50_us: quantile(&took, 50),
        p99_us: quantile(&took, 99),
        resident_mib: f64::from(server.resident_kib()?) / 1024.0,
    })
}

async fn load(clients: &mut [Client], next: &Next, length: Duration) -> Result<Vec<Duration>> {
    let end = Instant::now() + length;
    let calls = clients
        .iter_mut()
        .map(|client| call_until(client, end, next));
    Ok(try_join_all(calls).await?.concat())
}

/// Of sorted times, in microseconds.
pub(crate) fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted
        .get(at)
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

/// Far below where an `f64` grows coarse.
pub(crate) fn count(calls: usize) -> f64 {
    f64::from(u32::try_from(calls).unwrap_or(u32::MAX))
}
