//! What the recorder wrote down: the calls of the server, in the kernel's order.

/// A call. Files are named by their inode, which the file system may give out again.
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
    /// The kernel takes what it could not write for written: a later sync says nothing of it.
    SyncFailed {
        inode: u64,
    },
    SyncFolder,
    Unlink {
        name: String,
    },
    /// The beginning of an answer to the client at this port of its own.
    Reply {
        port: u16,
    },
}

/// Reads a log. Its layout is `struct head` of recorder.c, then the data.
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

/// Which syncs of a recording count. The program always runs with synchronous=FULL; that a weaker setting
/// would have lost something is shown on the very same recording, less the syncs that it leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Synchronous {
    /// All of them.
    Full,
    /// Of the log only those around a checkpoint: before pages go into the database, and of the log's new
    /// header. A commit does not wait for the disk.
    Normal,
    /// None.
    Off,
    /// All, but what an owner writes anew of the log before it builds on it is not written.
    Trusting,
}

/// For each event whether it counts: all but the syncs that a weaker setting leaves out.
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

/// `SQLite` itself writes a header or a frame at a time.
pub(super) fn writes_anew(event: &Event, log: Option<u64>) -> bool {
    matches!(event, Event::Write { inode, offset, data }
        if Some(*inode) == log && offset % (1 << 20) == 0 && (*offset > 0 || data.len() != 32))
}

fn is_header(before: &[Event]) -> bool {
    matches!(before.last(), Some(Event::Write { offset: 0, data, .. }) if data.len() == 32)
}

/// The next write goes elsewhere than into the log.
fn begins_checkpoint(after: &[Event], log: u64) -> bool {
    let next = after.iter().find_map(|event| match event {
        Event::Write { inode, .. } | Event::Truncate { inode, .. } => Some(*inode),
        _ => None,
    });
    next.is_some_and(|inode| inode != log)
}
