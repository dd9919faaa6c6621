//! An audit row as it leaves Hallpass: a line of JSON, or a record of CSV. `audit export`, `audit tail` and the audit
//! sink write the same. The names are those of the API's fields; hashes are in hexadecimal digits, as in heads.

use std::borrow::Cow;

use serde::Serialize;

use super::audit::{ChainHash, LinkedRow};

/// All fields of a row. Their names and order are stable.
#[derive(Debug, Serialize)]
pub struct AuditRecord<'a> {
    sequence: i64,
    time: String,
    actor: Cow<'a, str>,
    credential_kind: Cow<'a, str>,
    credential_id: Cow<'a, str>,
    action: Cow<'a, str>,
    target: Cow<'a, str>,
    successor_id: Cow<'a, str>,
    outcome: Cow<'a, str>,
    count: u32,
    ip: Cow<'a, str>,
    user_agent: Cow<'a, str>,
    request_id: Cow<'a, str>,
    client_request_id: Cow<'a, str>,
    format: u32,
    previous_hash: String,
    hash: String,
}

impl<'a> From<&'a LinkedRow> for AuditRecord<'a> {
    fn from(linked: &'a LinkedRow) -> Self {
        let row = &linked.row;
        let hex = |hash: ChainHash| hash.to_string();
        Self {
            sequence: row.sequence,
            time: row.time.to_string(),
            actor: (&row.actor).into(),
            credential_kind: (&row.credential_kind).into(),
            credential_id: (&row.credential_id).into(),
            action: (&row.action).into(),
            target: (&row.target).into(),
            successor_id: (&row.successor_id).into(),
            outcome: (&row.outcome).into(),
            count: row.count,
            ip: (&row.ip).into(),
            user_agent: (&row.user_agent).into(),
            request_id: (&row.request_id).into(),
            client_request_id: (&row.client_request_id).into(),
            format: row.format,
            previous_hash: linked.previous.map(hex).unwrap_or_default(),
            hash: hex(row.hash),
        }
    }
}

impl AuditRecord<'_> {
    /// Changes every text that comes from a request or an identifier.
    pub fn change_texts(&mut self, change: impl Fn(&mut Cow<'_, str>)) {
        for text in [
            &mut self.actor,
            &mut self.credential_kind,
            &mut self.credential_id,
            &mut self.action,
            &mut self.target,
            &mut self.successor_id,
            &mut self.outcome,
            &mut self.ip,
            &mut self.user_agent,
            &mut self.request_id,
            &mut self.client_request_id,
        ] {
            change(text);
        }
    }

    /// The line of JSON, with its end.
    pub fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("texts and numbers are JSON");
        line.push('\n');
        line
    }
}
