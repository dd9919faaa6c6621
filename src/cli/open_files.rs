//! The limit of open files. Each connection takes one.
//!
//! The soft limit is often 1,024, and can be raised to the hard one (getrlimit(2)). If it were lower than the maximum
//! number of connections, accept would fail, and idle connections would not be closed in favour of new ones.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the database, the log and the runtime, which take about fifty with ten readers.
const RESERVED: u64 = 128;

/// Raises the limit to what `connections` need. Returns how many connections are possible.
pub(super) fn raise_limit(connections: usize) -> usize {
    let wanted = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(RESERVED);
    let limit = getrlimit(Resource::Nofile);
    let allowed = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    let mut files = allowed(limit.current);
    if files < wanted {
        let raised = wanted.min(allowed(limit.maximum));
        let asked = Rlimit {
            current: Some(raised),
            ..limit
        };
        match setrlimit(Resource::Nofile, asked) {
            Ok(()) => files = raised,
            Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
        }
    }
    let fitting = fitting(files, connections);
    if fitting < connections {
        tracing::warn!(
            open_files = files,
            max_connections = fitting,
            "fewer connections than set: the limit of open files (ulimit -n) allows no more"
        );
    }
    fitting
}

fn fitting(files: u64, connections: usize) -> usize {
    // A limit below the reserve still leaves a quarter for connections.
    let left = files.saturating_sub(RESERVED).max(files / 4).max(1);
    usize::try_from(left).map_or(connections, |left| left.min(connections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_limit_bounds_connections_but_never_to_zero() {
        assert_eq!(fitting(1_152, 1_024), 1_024);
        assert_eq!(fitting(1_024, 1_024), 896);
        assert_eq!(fitting(u64::MAX, 1_024), 1_024);
        assert_eq!(fitting(100, 1_024), 25);
        assert_eq!(fitting(0, 1_024), 1);
    }
}
