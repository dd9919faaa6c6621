//! How long the disk takes to keep what it was given: what a create waits for at least.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

/// About what a create adds to the write-ahead log.
const BYTES: usize = 32 << 10;
const TIMES: usize = 51;

/// The median time to sync what was just written to a file in `folder`.
pub(super) fn sync_time(folder: &Path) -> io::Result<Duration> {
    let mut file = File::create_new(folder.join("sync"))?;
    let bytes = vec![0; BYTES];
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        file.write_all(&bytes)?;
        let begin = Instant::now();
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times[TIMES / 2])
}
