//! The audit log: recording reads, listing and streaming.

mod list;

pub use list::AuditSelection;

use crate::{
    domain::{
        audit::{AuditEvent, AuditRow},
        audit_action::ACTIONS,
        id::RequestId,
        time::Timestamp,
    },
    store::audit,
};

use super::{
    App, Error,
    authz::{self, Action, Relation},
    caller::Caller,
};

/// How many rows a stream reads per transaction.
const CHUNK: u32 = 500;

/// The actor of what the server does on its own.
pub(super) const SYSTEM: &str = "system";

/// An audit row for something that the server did on its own.
pub(super) fn system_event(
    now: Timestamp,
    action: &'static str,
    target: impl ToString,
) -> AuditEvent {
    debug_assert!(ACTIONS.contains(&action), "{action} is in no list");
    AuditEvent {
        time: now,
        actor: SYSTEM.to_owned(),
        credential_kind: "",
        credential_id: String::new(),
        target: target.to_string(),
        successor_id: String::new(),
        action,
        outcome: "ok",
        count: 1,
        request_id: RequestId::generate(now).to_string(),
        client_request_id: String::new(),
        ip: String::new(),
        user_agent: String::new(),
    }
}

impl App {
    /// Records that an admin reads another user's data, before the caller gets to see any of it.
    pub(super) async fn record_read(
        &self,
        caller: &Caller,
        action: Action,
        relation: Relation,
        target: impl ToString,
    ) -> Result<(), Error> {
        if !relation.is_foreign() {
            return Ok(());
        }
        let (now, caller, target) = (self.now(), caller.clone(), target.to_string());
        self.write(move |tx| {
            let caller = caller.refresh(tx, now)?;
            audit::append(tx, caller.may(action, relation)?.event(now, &target))?;
            Ok(())
        })
        .await
    }

    /// Starts reading the audit log after row `after`, or at the first row that is left, whatever its number. The
    /// stream ends at the row that is the last one now, which includes the record of this read.
    pub async fn stream_audit(
        &self,
        caller: &Caller,
        after: Option<i64>,
    ) -> Result<AuditStream, Error> {
        authz::may(caller, Action::ReadAudit, Relation::OtherPerson)?;
        self.record_read(caller, Action::ReadAudit, Relation::OtherPerson, "")
            .await?;
        let head = self.read(|tx| Ok::<_, Error>(audit::head(tx)?)).await?;
        Ok(AuditStream {
            app: self.clone(),
            caller: caller.clone(),
            after,
            last: head.sequence,
        })
    }
}

/// The audit log, read in chunks. No transaction stays open between two chunks, so a slow reader blocks nobody.
#[derive(Debug)]
pub struct AuditStream {
    app: App,
    caller: Caller,
    after: Option<i64>,
    last: i64,
}

impl AuditStream {
    /// The next rows; empty at the end.
    ///
    /// # Errors
    /// The caller may no longer read the audit log, or the store failed.
    pub async fn next(&mut self) -> Result<Vec<AuditRow>, Error> {
        let (after, last) = (self.after, self.last);
        if after.is_some_and(|after| after >= last) {
            return Ok(Vec::new());
        }
        let rows = self
            .app
            .read_as(&self.caller, move |tx, caller| {
                caller.may(Action::ReadAudit, Relation::OtherPerson)?;
                let mut rows = audit::list_all(tx, after, CHUNK)?;
                rows.retain(|row| row.sequence <= last);
                Ok::<_, Error>(rows)
            })
            .await?;
        self.after = Some(rows.last().map_or(last, |row| row.sequence));
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_action_can_be_filtered_for() {
        let never_recorded = [
            "server.get_counts",
            "server.get_status",
            "token.verify",
            "user.get_current",
        ];
        for rule in authz::RULES {
            let is_listed = ACTIONS.contains(&rule.audit);
            assert_ne!(is_listed, never_recorded.contains(&rule.audit), "{rule:?}");
        }
    }
}
