//! The rows of the audit log and the hash chain over them.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{time::Timestamp, visible::is_visible};

/// Maximum length of a stored user agent.
pub const MAX_USER_AGENT_BYTES: usize = 256;

/// The hash of a row, over its fields and the previous row's hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// The hash before the first row.
    pub const START: Self = Self([0; 32]);

    /// From the store, or from a chain head that an operator recorded.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For the store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An audit event before it is appended to the log. A field that does not apply is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// When it happened.
    pub time: Timestamp,
    /// A user ID, `local:UID` for a process on the server's machine, `system` for the server itself, or empty.
    pub actor: String,
    /// How the actor authenticated, or tried to: `token`, `password`, `local`, or empty.
    pub credential_kind: &'static str,
    /// The ID of the token that the actor used.
    pub credential_id: String,
    /// The ID of the token or user that was acted on.
    pub target: String,
    /// After a rotation, the ID of the target's successor.
    pub successor_id: String,
    /// What was done, such as `token.create`.
    pub action: &'static str,
    /// `ok`, or the reason of the refusal.
    pub outcome: &'static str,
    /// How many tokens or users were affected: the target and whatever was changed with it, such as a token's children
    /// or a user's tokens. For refusals, how many identical ones this row stands for. At least 1.
    pub count: u32,
    /// The request's ID.
    pub request_id: String,
    /// The ID that the client sent.
    pub client_request_id: String,
    /// The client's address.
    pub ip: String,
    /// The client's user agent: see [`escape_user_agent`].
    pub user_agent: String,
}

/// The format that new rows are written in. Format 1 had no credential kind, and format 2 no successor.
pub const FORMAT: u32 = 3;

/// A stored row of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Decides which fields are hashed: 1 to [`FORMAT`].
    pub format: u32,
    /// The position in the log, counted from 1 without gaps.
    pub sequence: i64,
    /// When it happened.
    pub time: Timestamp,
    /// As in [`AuditEvent`].
    pub actor: String,
    /// As in [`AuditEvent`]; empty in format 1.
    pub credential_kind: String,
    /// As in [`AuditEvent`].
    pub credential_id: String,
    /// As in [`AuditEvent`].
    pub target: String,
    /// As in [`AuditEvent`]; empty in formats 1 and 2.
    pub successor_id: String,
    /// As in [`AuditEvent`].
    pub action: String,
    /// As in [`AuditEvent`].
    pub outcome: String,
    /// As in [`AuditEvent`].
    pub count: u32,
    /// As in [`AuditEvent`].
    pub request_id: String,
    /// As in [`AuditEvent`].
    pub client_request_id: String,
    /// As in [`AuditEvent`].
    pub ip: String,
    /// As in [`AuditEvent`].
    pub user_agent: String,
    /// The chain's hash up to and including this row.
    pub hash: ChainHash,
}

impl AuditRow {
    /// Appends `event` to the log after the row whose hash is `before`.
    pub fn append(event: AuditEvent, sequence: i64, before: ChainHash) -> Self {
        let mut row = Self {
            format: FORMAT,
            sequence,
            time: event.time,
            actor: event.actor,
            credential_kind: event.credential_kind.to_owned(),
            credential_id: event.credential_id,
            target: event.target,
            successor_id: event.successor_id,
            action: event.action.to_owned(),
            outcome: event.outcome.to_owned(),
            count: event.count,
            request_id: event.request_id,
            client_request_id: event.client_request_id,
            ip: event.ip,
            user_agent: event.user_agent,
            hash: ChainHash::START,
        };
        row.hash = row.compute_hash(before);
        row
    }

    /// The hash this row must have after a row with the hash `before`: SHA-256 over `before` and all fields in order,
    /// each prefixed with its length. Format 1 leaves out the format itself and the credential kind; formats 1 and 2
    /// leave out the successor.
    pub fn compute_hash(&self, before: ChainHash) -> ChainHash {
        let mut hasher = Sha256::new();
        hasher.update(before.0);
        let mut field = |bytes: &[u8]| {
            let len = u64::try_from(bytes.len()).expect("a length fits 64 bits");
            hasher.update(len.to_be_bytes());
            hasher.update(bytes);
        };
        if self.format != 1 {
            field(&self.format.to_be_bytes());
        }
        field(&self.sequence.to_be_bytes());
        field(&self.time.as_micros().to_be_bytes());
        field(self.actor.as_bytes());
        if self.format != 1 {
            field(self.credential_kind.as_bytes());
        }
        field(self.credential_id.as_bytes());
        field(self.target.as_bytes());
        if self.format > 2 {
            field(self.successor_id.as_bytes());
        }
        field(self.action.as_bytes());
        field(self.outcome.as_bytes());
        field(&self.count.to_be_bytes());
        field(self.request_id.as_bytes());
        field(self.client_request_id.as_bytes());
        field(self.ip.as_bytes());
        field(self.user_agent.as_bytes());
        ChainHash(hasher.finalize().into())
    }
}

/// A row, and the hash of the row before it; `None` if that row is missing and no checkpoint tells its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedRow {
    /// The row.
    pub row: AuditRow,
    /// The hash before it.
    pub previous: Option<ChainHash>,
}

/// A position in the log and the chain's hash there. An operator records one to detect later rewriting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The sequence number of the last row; 0 before the first.
    pub sequence: i64,
    /// The chain's hash up to and including that row.
    pub hash: ChainHash,
}

impl ChainHead {
    /// The head of an empty log.
    pub const START: Self = Self {
        sequence: 0,
        hash: ChainHash::START,
    };

    /// Parses what `Display` writes, and refuses a head that no log can have.
    pub fn parse(text: &str) -> Option<Self> {
        let (sequence, hex) = text.split_once(':')?;
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
        }
        let head = Self {
            sequence: sequence.parse().ok()?,
            hash: ChainHash(hash),
        };
        (head.sequence > 0 || head == Self::START).then_some(head)
    }
}

/// `SEQUENCE:HASH`.
impl fmt::Display for ChainHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

/// A user agent cut to [`MAX_USER_AGENT_BYTES`] bytes, with invisible characters escaped, so that a row is safe to
/// show on a terminal.
pub fn escape_user_agent(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        let before = escaped.len();
        if is_visible(char) {
            escaped.push(char);
        } else {
            escaped.extend(char.escape_default());
        }
        if escaped.len() > MAX_USER_AGENT_BYTES {
            escaped.truncate(before);
            break;
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_a_round_trip_and_an_impossible_one_is_refused() {
        let head = ChainHead {
            sequence: 42,
            hash: ChainHash([0xab; 32]),
        };
        assert_eq!(ChainHead::parse(&head.to_string()), Some(head));
        assert_eq!(format!("{:?}", head.hash), "ab".repeat(32));
        let start = ChainHead::START.to_string();
        assert_eq!(ChainHead::parse(&start), Some(ChainHead::START));
        let (zero, below) = (start.replace(":0", ":1"), format!("-{start}"));
        for bad in [
            &*zero,
            &below.replace("-0", "-1"),
            "",
            "42",
            "x:00",
            "42:zz",
            &format!("42:{}", "é".repeat(32)),
        ] {
            assert_eq!(ChainHead::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn user_agents_are_truncated_and_escaped() {
        assert_eq!(
            escape_user_agent("curl/8\u{1b}[31m\r\n"),
            "curl/8\\u{1b}[31m\\r\\n"
        );
        assert_eq!(escape_user_agent(&"é".repeat(200)).len(), 256);
        assert_eq!(escape_user_agent(&"\0".repeat(200)).len() % 5, 0);
    }
}
