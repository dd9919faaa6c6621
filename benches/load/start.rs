//! The start: how long until the first answer, how much memory before the first sign-in, how large the
//! program is.

use std::{fs, time::Duration, time::Instant};

use bytes::Bytes;

use crate::{
    Result,
    args::Args,
    client::{Call, Client, Wire},
    process::Binaries,
    report::{Spread, line},
    seed::Seed,
};

const STARTS: usize = 15;

/// Starts the server some times on an existing database.
pub(crate) async fn report(args: &Args, binaries: &Binaries) -> Result<()> {
    if !args.wants("start") {
        return Ok(());
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let seed = Seed::get(args.tokens.first().copied().unwrap_or(10_000)).await?;
    let path = folder.path().join("start.db");
    seed.copy_to(&path)?;
    for (which, program) in binaries.hallpass.iter().enumerate() {
        let (mut millis, mut idle) = (vec![], vec![]);
        for _ in 0..STARTS {
            let begin = Instant::now();
            let server = binaries.serve(which, &path)?;
            let mut client = Client::connect(server.address, Wire::Json).await?;
            // Any answer of an RPC will do, and this one needs the store.
            let call = Call {
                path: "/hallpass.v1.AuthnService/GetCurrentUser",
                bearer: seed
                    .bearers
                    .readers
                    .first()
                    .map(|text| text.as_str().into()),
                message: Bytes::from_static(b"{}"),
            };
            client.call(call).await?;
            millis.push(begin.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(200)).await;
            idle.push(f64::from(server.resident_kib()?) / 1024.0);
        }
        let size = fs::metadata(program)?.len();
        line(&format!("{}:", program.display()));
        tell("start to the first answer, ms", Spread::of(millis));
        tell("resident after it, MiB", Spread::of(idle));
        line(&format!(
            "  size, MiB: {:.1}",
            f64::from(u32::try_from(size >> 10)?) / 1024.0
        ));
    }
    Ok(())
}

fn tell(
    what: &str,
    Spread {
        median,
        least,
        most,
    }: Spread,
) {
    line(&format!("  {what}: {median:.1} ({least:.1}–{most:.1})"));
}
