//! How many files the process may have open: each connection takes one.
//!
//! Systems often allow 1,024 and more when asked (the soft limit and the hard one, getrlimit(2)). Without
//! room for all connections that are let in, accepting one would fail, and silent peers could not be sent
//! away for the sake of others.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the database, the log, the runtime: with ten readers about fifty.
const OTHERS: u64 = 128;

/// Asks for as many open files as so many connections need. Returns how many connections there can be.
pub(super) fn make_room(connections: usize) -> usize {
    let wanted = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHERS);
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
            "fewer connections than set: the limit of open files (ulimit -n) has no room for more"
        );
    }
    fitting
}

fn fitting(files: u64, connections: usize) -> usize {
    // With hardly any files at all, the others take what they need first.
    let room = files.saturating_sub(OTHERS).max(files / 4).max(1);
    usize::try_from(room).map_or(connections, |room| room.min(connections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_as_many_as_set_where_files_allow_and_never_none() {
        assert_eq!(fitting(1_152, 1_024), 1_024);
        assert_eq!(fitting(1_024, 1_024), 896);
        assert_eq!(fitting(u64::MAX, 1_024), 1_024);
        assert_eq!(fitting(100, 1_024), 25);
        assert_eq!(fitting(0, 1_024), 1);
    }
}
