//! Backups: a copy of the whole database, sent in chunks with its length and checksum at the end.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use tokio::{
    task,
    time::{Instant, timeout},
};

use crate::{
    domain::{
        audit::{AuditEvent, ChainHead},
        audit_action::{RESTORED, RESTORED_FORGETTING, RESTORED_KEEPING},
        id::RequestId,
        reason::Reason,
        time::Timestamp,
    },
    store::{self, Backup, Ended, NewerRevocations},
};

use super::{
    App, Error,
    authz::{self, Action, Relation},
    caller::{Caller, ClientInfo},
};

/// Large enough to be fast, and well below what gRPC's clients accept by default.
const CHUNK_BYTES: usize = 128 * 1024;
/// While the copy is made, a part says so this often, so that no proxy takes the silence for an end.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// How long sending a copy may take in any case. A copy holds room on the disk, and keeps others from theirs.
const MIN_SENDING_TIME: Duration = Duration::from_mins(1);
/// The rate at which it must be read otherwise.
const MIN_BYTES_PER_SEC: u64 = 64 * 1024;

/// What a backup shows, each of which the caller must be allowed to read.
const READS: [Action; 4] = [
    Action::BackUpData,
    Action::ListAllTokens,
    Action::ListUsers,
    Action::ReadAudit,
];

/// A part of a backup.
#[derive(Debug)]
pub enum BackupPart {
    /// The copy is still being made.
    Copying,
    /// The copy is made and will be sent.
    Copy {
        /// Its size.
        size_bytes: u64,
        /// The version of its schema.
        schema: i64,
        /// The last row of its audit log.
        head: ChainHead,
    },
    /// The next bytes.
    Chunk(Vec<u8>),
    /// The end.
    End {
        /// How many bytes were sent.
        size_bytes: u64,
        /// SHA-256 of all of them.
        sha256: [u8; 32],
    },
}

/// A backup that is being made or sent.
pub struct BackupStream {
    app: App,
    caller: Caller,
    state: State,
}

enum State {
    Copying(BoxFuture<'static, Result<Backup, store::Error>>),
    Sending(Sending),
    Ended,
}

struct Sending {
    backup: Arc<Backup>,
    sent_bytes: u64,
    sha256: Sha256,
    deadline: Instant,
}

impl App {
    /// Starts a backup. It holds everything that was committed before this call, and the record of the call itself.
    pub async fn back_up(&self, caller: &Caller) -> Result<BackupStream, Error> {
        may_read_all(caller)?;
        let permit = Arc::clone(&self.0.backups).try_acquire_owned();
        let permit = permit.map_err(|_| Error::Quota {
            reason: Reason::Overloaded,
            problem: "another backup is being made or sent: try again once it is done".to_owned(),
        })?;
        self.record_read(caller, Action::BackUpData, Relation::OtherPerson, "")
            .await?;
        let db = self.0.db.clone();
        Ok(BackupStream {
            app: self.clone(),
            caller: caller.clone(),
            state: State::Copying(Box::pin(async move { db.back_up(permit).await })),
        })
    }
}

fn may_read_all(caller: &Caller) -> Result<(), Error> {
    // A missing scope is told before a missing role, as everywhere.
    READS
        .into_iter()
        .try_for_each(|action| authz::admit(caller, action))?;
    READS
        .into_iter()
        .try_for_each(|action| authz::may(caller, action, Relation::OtherPerson))?;
    Ok(())
}

impl BackupStream {
    /// The next part; `None` after the end.
    ///
    /// # Errors
    /// The copy cannot be made or read, it is read too slowly, or the caller may no longer read everything.
    pub async fn next(&mut self) -> Result<Option<BackupPart>, Error> {
        let part = match &mut self.state {
            State::Ended => return Ok(None),
            State::Copying(copying) => match timeout(SIGN_OF_LIFE, copying).await {
                Err(_) => BackupPart::Copying,
                Ok(made) => {
                    let backup = made?;
                    let part = BackupPart::Copy {
                        size_bytes: backup.size_bytes(),
                        schema: backup.schema(),
                        head: backup.head(),
                    };
                    self.state = State::Sending(Sending::new(backup));
                    part
                }
            },
            State::Sending(sending) => {
                if let Some(chunk) = sending.next().await? {
                    BackupPart::Chunk(chunk)
                } else {
                    let part = sending.end();
                    self.state = State::Ended;
                    part
                }
            }
        };
        // It takes long, and the caller may have lost its rights meanwhile.
        may_read_all(&self.app.recheck(&self.caller).await?)?;
        Ok(Some(part))
    }
}

impl Sending {
    fn new(backup: Backup) -> Self {
        let slowest = Duration::from_secs(backup.size_bytes() / MIN_BYTES_PER_SEC);
        Self {
            backup: Arc::new(backup),
            sent_bytes: 0,
            sha256: Sha256::new(),
            deadline: Instant::now() + MIN_SENDING_TIME + slowest,
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if Instant::now() > self.deadline {
            return Err(Error::Precondition {
                reason: Reason::DeadlineExceeded,
                problem: "the backup is read too slowly".to_owned(),
            });
        }
        let (backup, at) = (Arc::clone(&self.backup), self.sent_bytes);
        let reading = task::spawn_blocking(move || backup.read(at, CHUNK_BYTES));
        let chunk = reading
            .await
            .map_err(|error| Error::Internal(error.into()))??;
        if chunk.is_empty() {
            return Ok(None);
        }
        self.sha256.update(&chunk);
        self.sent_bytes += u64::try_from(chunk.len()).expect("a usize fits 64 bits");
        Ok(Some(chunk))
    }

    fn end(&self) -> BackupPart {
        BackupPart::End {
            size_bytes: self.sent_bytes,
            sha256: self.sha256.clone().finalize().into(),
        }
    }
}

impl fmt::Debug for BackupStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupStream").finish_non_exhaustive()
    }
}

/// The audit row of a restoration, the first row after those of the backup. It counts what stayed ended, and names the
/// last row of the log of the database that was replaced, if that is known.
pub fn restored(
    now: Timestamp,
    uid: u32,
    user_agent: &str,
    newer: Option<NewerRevocations>,
    ended: Option<&Ended>,
    replaced: Option<ChainHead>,
) -> AuditEvent {
    let client = ClientInfo {
        request_id: RequestId::generate(now),
        client_request_id: None,
        ip: None,
        user_agent: user_agent.to_owned(),
    };
    let action = match newer {
        None => RESTORED,
        Some(NewerRevocations::Keep) => RESTORED_KEEPING,
        Some(NewerRevocations::Forget) => RESTORED_FORGETTING,
    };
    let replaced = replaced.map(|head| head.to_string()).unwrap_or_default();
    let ended = ended.map_or(0, |ended| ended.tokens + ended.users);
    AuditEvent {
        count: u32::try_from(ended).unwrap_or(u32::MAX).saturating_add(1),
        ..Caller::local(uid, client).event(now, action, replaced)
    }
}
