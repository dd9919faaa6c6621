//! The audit log's rows and the chain of hashes that ties them together.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{time::Timestamp, visible::is_visible};

/// How many bytes of a user agent are kept.
pub const MAX_USER_AGENT_BYTES: usize = 256;

/// The hash of a row, over its fields and the hash before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What stands before the first row.
    pub const START: Self = Self([0; 32]);

    /// From the store, or from a head that was noted.
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

/// An event before it has its place in the log. Empty texts stand for what there is none of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// When it happened.
    pub time: Timestamp,
    /// A user ID, `local:UID` for a process on the server's machine, `system` for the server itself, or empty.
    pub actor: String,
    /// With what the actor signed in, or tried to: `token`, `password`, `local`, or empty.
    pub credential_kind: &'static str,
    /// The ID of the token that the actor used.
    pub credential_id: String,
    /// The ID of the token or user that it was done to.
    pub target: String,
    /// Of a rotation, the ID of the token that took the target's place.
    pub successor_id: String,
    /// What was done, such as `token.create`.
    pub action: &'static str,
    /// `ok`, or the reason of the refusal.
    pub outcome: &'static str,
    /// How many it was done to: the target, and what went with it, as a token's children or a user's tokens do. Of
    /// refusals, how many alike ones this row stands for. At least 1.
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

/// What rows are of that are written now. Format 1 had no kind of credential, and format 2 no successor.
pub const FORMAT: u32 = 3;

/// A row of the log, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// What the hash is over: 1 to [`FORMAT`].
    pub format: u32,
    /// The place in the log, from 1, rising by one.
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
    /// The chain's hash up to and with this row.
    pub hash: ChainHash,
}

impl AuditRow {
    /// Gives `event` its place after the row with `before`.
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

    /// The hash that this row must have after the row with `before`: SHA-256 over the hash before and the
    /// fields in order, each with its length before it. In format 1 those are without the format itself and the
    /// kind of credential, in formats 1 and 2 without the successor.
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

/// A place in the log and the chain's hash there: what an operator notes to find later rewriting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The sequence number of the last row; 0 before the first.
    pub sequence: i64,
    /// The chain's hash up to and with that row.
    pub hash: ChainHash,
}

impl ChainHead {
    /// Before the first row.
    pub const START: Self = Self {
        sequence: 0,
        hash: ChainHash::START,
    };

    /// Reads the form that `Display` writes of a head that there can be.
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

/// At most [`MAX_USER_AGENT_BYTES`] bytes of a user agent, what does not show escaped, so that a row can be
/// shown on a terminal.
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
    fn a_head_is_read_back_and_one_that_cannot_be_is_not() {
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
    fn user_agents_are_cut_and_escaped() {
        assert_eq!(
            escape_user_agent("curl/8\u{1b}[31m\r\n"),
            "curl/8\\u{1b}[31m\\r\\n"
        );
        assert_eq!(escape_user_agent(&"é".repeat(200)).len(), 256);
        assert_eq!(escape_user_agent(&"\0".repeat(200)).len() % 5, 0);
    }
}
