//! Streams of the audit log: all of it up to now, to verify, export or copy it; or new rows as they are written.

use std::{mem, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time,
};

use crate::{
    domain::{audit::LinkedRow, reason::Reason},
    store::{
        Tx, audit,
        audit_search::{self, AuditFilter},
    },
};

use super::{
    App, Error,
    audit::AuditSelection,
    authz::{self, Action, Relation},
    background::AuditReader,
    caller::Caller,
    users::Usernames,
};

/// How many rows are read per transaction.
const CHUNK: u32 = 500;
/// After how many reads without a row that the filter selects an empty part is sent.
const READS_PER_PART: u32 = 20;
/// Maximum number of rows that a follower begins with.
const MAX_NEWEST: u32 = 1_000;
/// Maximum number of followers.
const MAX_FOLLOWERS: usize = 32;
/// How long a follower waits for a row until it gets an empty part and its rights are checked again.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// A request for a stream.
#[derive(Clone, Debug, Default)]
pub struct StreamAudit {
    /// Only rows after this one; `None`: from the first row that is left, whatever its number.
    pub after: Option<i64>,
    /// Only rows that this selects.
    pub selection: AuditSelection,
    /// Whether to go on with rows as they are written.
    pub follow: bool,
    /// How many of the rows that are there a follower begins with.
    pub newest: u32,
}

/// Bounds the followers, and ends them when the server stops.
#[derive(Debug)]
pub(super) struct Followers {
    free: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

impl Default for Followers {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
            stopping: watch::Sender::new(false),
        }
    }
}

#[derive(Debug)]
struct Follower {
    _place: OwnedSemaphorePermit,
    stopping: watch::Receiver<bool>,
    written: watch::Receiver<i64>,
}

impl Follower {
    /// Waits for a row, but not for long. Returns whether the server goes on.
    async fn wait(&mut self) -> bool {
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => false,
            changed = self.written.changed() => changed.is_ok(),
            () = time::sleep(SIGN_OF_LIFE) => true,
        }
    }
}

/// A part of a stream, which may be empty.
#[derive(Debug, Default)]
pub struct AuditPart {
    /// The rows.
    pub rows: Vec<LinkedRow>,
    /// For followers, the names of actors and targets.
    pub usernames: Usernames,
}

/// The audit log, read in chunks. No transaction stays open between two chunks, so a slow reader blocks nobody.
#[derive(Debug)]
pub struct AuditStream {
    app: App,
    caller: Caller,
    filter: AuditFilter,
    after: Option<i64>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Ends with the row `last`.
    Whole { last: i64, _reader: AuditReader },
    /// Goes on. `first`: what it begins with, until that is sent.
    Follower {
        first: Option<Vec<LinkedRow>>,
        follower: Box<Follower>,
    },
}

impl App {
    /// Starts reading the audit log. Unless it follows, the stream ends at the row that is the last one now, which
    /// includes the record of this read.
    pub async fn stream_audit(
        &self,
        caller: &Caller,
        request: StreamAudit,
    ) -> Result<AuditStream, Error> {
        authz::may(caller, Action::ReadAudit, Relation::OtherPerson)?;
        let (_, filter) = request.selection.parse()?;
        let follower = if request.follow {
            Some(self.admit_follower()?)
        } else {
            None
        };
        let (selection, after) = (request.selection, request.after);
        let filter = self.begin_reading(caller, selection, filter).await?;
        let reader = self.0.audit_readers.enter();
        let (by, newest) = (filter.clone(), request.newest.min(MAX_NEWEST));
        let is_follower = follower.is_some();
        let (head, start, first) = self
            .read(move |tx| {
                let head = audit::head(tx)?.sequence;
                if !is_follower || after.is_some() {
                    return Ok::<_, Error>((head, after, Vec::new()));
                }
                if let Some(from) = by.from {
                    let first = audit_search::first_since(tx, from)?;
                    return Ok((
                        head,
                        Some(first.map_or(head, |first| first - 1)),
                        Vec::new(),
                    ));
                }
                let rows = find_newest(tx, &by, newest)?;
                Ok((head, Some(head), rows))
            })
            .await?;
        Ok(AuditStream {
            app: self.clone(),
            caller: caller.clone(),
            filter,
            after: start,
            kind: match follower {
                None => Kind::Whole {
                    last: head,
                    _reader: reader,
                },
                Some(follower) => Kind::Follower {
                    first: Some(first),
                    follower: Box::new(follower),
                },
            },
        })
    }

    fn admit_follower(&self) -> Result<Follower, Error> {
        let followers = &self.0.audit_followers;
        let place = Arc::clone(&followers.free).try_acquire_owned();
        let place = place.map_err(|_| Error::Quota {
            reason: Reason::Overloaded,
            problem: format!("{MAX_FOLLOWERS} callers follow the audit log already"),
        })?;
        Ok(Follower {
            _place: place,
            stopping: followers.stopping.subscribe(),
            written: self.0.db.audit_rows(),
        })
    }

    /// Ends the streams that follow the audit log, since the server stops.
    pub fn end_followers(&self) {
        self.0.audit_followers.stopping.send_replace(true);
    }
}

/// The newest rows that `filter` selects, in order.
fn find_newest(tx: &Tx<'_>, filter: &AuditFilter, count: u32) -> Result<Vec<LinkedRow>, Error> {
    let mut rows = if count == 0 {
        Vec::new()
    } else if filter.is_empty() {
        audit::list(tx, None, true, count)?
    } else {
        audit_search::search(tx, filter, None, true, count)?.rows
    };
    rows.sort_by_key(|row| row.sequence);
    Ok(audit::link(tx, rows)?)
}

impl AuditStream {
    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// The caller may no longer read the audit log, rows were purged before they were read, or the store failed.
    pub async fn next(&mut self) -> Result<Option<AuditPart>, Error> {
        // Sent at once, even if it is empty, so that the caller knows that it follows.
        if let Kind::Follower { first, .. } = &mut self.kind
            && let Some(first) = mem::take(first)
        {
            return self.part(first).await.map(Some);
        }
        let mut waited = false;
        for _ in 0..READS_PER_PART {
            if let (Kind::Whole { last, .. }, Some(after)) = (&self.kind, self.after)
                && after >= *last
            {
                return Ok(None);
            }
            let rows = self.read().await?;
            let is_end = rows.is_empty();
            let selected = rows.into_iter();
            let selected: Vec<_> = selected
                .filter(|linked| self.filter.selects(&linked.row))
                .collect();
            if !selected.is_empty() {
                return self.part(selected).await.map(Some);
            }
            if is_end {
                let Kind::Follower { follower, .. } = &mut self.kind else {
                    return Ok(None);
                };
                if waited {
                    break;
                }
                if !follower.wait().await {
                    return Ok(None);
                }
                waited = true;
            }
        }
        Ok(Some(AuditPart::default()))
    }

    async fn read(&mut self) -> Result<Vec<LinkedRow>, Error> {
        let after = self.after;
        let last = match &self.kind {
            Kind::Whole { last, .. } => *last,
            Kind::Follower { .. } => i64::MAX,
        };
        let rows = self
            .app
            .read_as(&self.caller, move |tx, caller| {
                caller.may(Action::ReadAudit, Relation::OtherPerson)?;
                let mut rows = audit::list_all(tx, after, CHUNK)?;
                if let Some(first) = rows.first() {
                    check_not_purged(tx, after.unwrap_or(0), first.sequence, last)?;
                }
                rows.retain(|row| row.sequence <= last);
                Ok::<_, Error>(audit::link(tx, rows)?)
            })
            .await?;
        let end = rows.last().map(|linked| linked.row.sequence);
        self.after = match &self.kind {
            Kind::Whole { last, .. } => Some(end.unwrap_or(*last)),
            Kind::Follower { .. } => end.or(after),
        };
        Ok(rows)
    }

    async fn part(&self, rows: Vec<LinkedRow>) -> Result<AuditPart, Error> {
        let usernames = match &self.kind {
            Kind::Whole { .. } => Usernames::new(),
            Kind::Follower { .. } => self.app.usernames_in(&rows).await?,
        };
        Ok(AuditPart { rows, usernames })
    }
}

/// Refuses to go on after row `after` with row `next` if the retention removed what is between: without those rows,
/// the reader could not tell the purge from a removal. A reader that begins finds at least the row `last`.
fn check_not_purged(tx: &Tx<'_>, after: i64, next: i64, last: i64) -> Result<(), Error> {
    let is_next = after < 1 && next <= last || next <= after.saturating_add(1);
    if is_next || audit::first(tx)? != Some(next) {
        return Ok(());
    }
    Err(Error::Precondition {
        reason: Reason::AuditRowsPurged,
        problem: format!(
            "rows {} to {} were removed meanwhile: read again from the first row",
            after.saturating_add(1),
            next - 1
        ),
    })
}
