//! The start: how long until the first reply, how much memory before the first sign-in, how large the
//! program is.

use std::{
    fs,
    time::{Duration, Instant},
};

use hallpass::cli::bench::{
    load::{Client, Result},
    requests::Wire,
};
use http::StatusCode;

use crate::{
    args::Args,
    calls::whoami,
    process::Binaries,
    report::{Spread, line},
    scenarios::resident_mib,
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
            // Any procedure will do that needs the store.
            let request = whoami(Wire::Json, &seed.bearers.readers[0]);
            let mut client = Client::connect(server.address, request.version()).await?;
            client.send(request, StatusCode::OK).await?;
            millis.push(begin.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(200)).await;
            idle.push(resident_mib(&server)?);
        }
        let size = fs::metadata(program)?.len();
        line(&format!("{}:", program.display()));
        print("start to the first reply, ms", Spread::of(millis));
        print("resident after it, MiB", Spread::of(idle));
        line(&format!(
            "  size, MiB: {:.1}",
            f64::from(u32::try_from(size >> 10)?) / 1024.0
        ));
    }
    Ok(())
}

fn print(
    what: &str,
    Spread {
        median,
        least,
        most,
    }: Spread,
) {
    line(&format!("  {what}: {median:.1} ({least:.1}–{most:.1})"));
}
