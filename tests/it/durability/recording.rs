//! The recorded calls of the server, in the kernel's order.

/// A call. Files are identified by their inode, which the file system may reuse.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Create {
        name: String,
        inode: u64,
    },
    Write {
        inode: u64,
        offset: usize,
        data: Vec<u8>,
    },
    Truncate {
        inode: u64,
        size: usize,
    },
    Sync {
        inode: u64,
    },
    /// The kernel marks pages that it could not write as clean: a later sync does not report them.
    SyncFailed {
        inode: u64,
    },
    SyncFolder,
    Unlink {
        name: String,
    },
    /// The beginning of a response to the client with this port.
    Reply {
        port: u16,
    },
}

/// Reads a recording: `struct head` of recorder.c, then the data, repeated.
pub(super) fn read(mut log: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while !log.is_empty() {
        let (head, rest) = log.split_at(32);
        let half = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
        let whole = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
        let (inode, offset) = (whole(8), usize::try_from(whole(16)).unwrap());
        let (data, rest) = rest.split_at(usize::try_from(whole(24)).unwrap());
        let name = || String::from_utf8(data.to_vec()).unwrap();
        events.push(match half(0) {
            1 => Event::Create {
                name: name(),
                inode,
            },
            2 => Event::Write {
                inode,
                offset,
                data: data.to_vec(),
            },
            3 => Event::Truncate {
                inode,
                size: offset,
            },
            4 => Event::Sync { inode },
            5 => Event::SyncFolder,
            6 => Event::Unlink { name: name() },
            7 => Event::Reply {
                port: u16::try_from(half(4)).unwrap(),
            },
            8 => Event::SyncFailed { inode },
            kind => panic!("no record is of kind {kind}"),
        });
        log = rest;
    }
    events
}

/// Which syncs of a recording count. The program always runs with synchronous=FULL; ignoring the syncs that a
/// weaker setting omits shows on the same recording what that setting would have lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Synchronous {
    Full,
    /// Of the log's syncs only those around a checkpoint: before pages go into the database, and of the log's new
    /// header. A commit does not wait for the disk.
    Normal,
    Off,
    /// All, but the owner's rewrite of the log at its start is ignored.
    Trusting,
}

/// For each event whether it counts: all but the syncs that a weaker setting omits.
pub(super) fn counting(events: &[Event], synchronous: Synchronous) -> Vec<bool> {
    let mut log = None;
    let mut counts = Vec::with_capacity(events.len());
    for (at, event) in events.iter().enumerate() {
        if let Event::Create { name, inode } = event
            && name.ends_with("-wal")
        {
            log = Some(*inode);
        }
        counts.push(match (synchronous, event) {
            (Synchronous::Off, Event::Sync { .. } | Event::SyncFolder) => false,
            (Synchronous::Trusting, event) => !writes_anew(event, log),
            (Synchronous::Normal, Event::Sync { inode }) if Some(*inode) == log => {
                is_header(&events[..at]) || begins_checkpoint(&events[at + 1..], *inode)
            }
            _ => true,
        });
    }
    counts
}

/// Whether the owner rewrites the log: `SQLite` itself writes one header or frame at a time.
pub(super) fn writes_anew(event: &Event, log: Option<u64>) -> bool {
    matches!(event, Event::Write { inode, offset, data }
        if Some(*inode) == log && offset % (1 << 20) == 0 && (*offset > 0 || data.len() != 32))
}

fn is_header(before: &[Event]) -> bool {
    matches!(before.last(), Some(Event::Write { offset: 0, data, .. }) if data.len() == 32)
}

/// Whether the next write is not to the log.
fn begins_checkpoint(after: &[Event], log: u64) -> bool {
    let next = after.iter().find_map(|event| match event {
        Event::Write { inode, .. } | Event::Truncate { inode, .. } => Some(*inode),
        _ => None,
    });
    next.is_some_and(|inode| inode != log)
}
