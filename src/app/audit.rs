//! The use cases of the audit log: recording reads, listing, streaming.

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

/// How many rows of a stream are read at a time.
const CHUNK: u32 = 500;

/// The actor of what the server does by itself.
pub(super) const SYSTEM: &str = "system";

/// The audit row for what the server itself did.
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
    /// Records that an admin reads what is not its own. Nothing is told before the record is durable.
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

    /// Begins to read the audit log after the row `after`, or from the very first one on whatever its number, up
    /// to the row that is the last now: the one that records this read.
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

/// The audit log, a part at a time. No transaction is open between two parts, so a reader that is slow keeps
/// nothing waiting.
#[derive(Debug)]
pub struct AuditStream {
    app: App,
    caller: Caller,
    after: Option<i64>,
    last: i64,
}

impl AuditStream {
    /// The next rows; none: that was all. A caller who may not read any more gets no more.
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
    fn what_the_table_of_actions_records_can_be_looked_for() {
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
