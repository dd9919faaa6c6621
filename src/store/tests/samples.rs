//! Sample rows and databases for unit tests.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use crate::domain::{
    audit::AuditEvent,
    cidr::CidrSet,
    id::{TokenId, UserId},
    note::Note,
    scope::ScopeSet,
    time::Timestamp,
    token::Token,
    token_text::{TokenHash, TokenPrefix, TokenText},
    user::{Role, User, UserKind, Username},
};
use crate::store::{Db, OpenAs, StoreOptions};

pub(crate) use crate::store::sqlite::{in_memory, tests::plans::cost, transaction};

/// The time at which everything in these tests happens.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// A temporary folder with a database.
pub(crate) struct Folder {
    pub(in crate::store) dir: TempDir,
}

impl Folder {
    pub(in crate::store) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(in crate::store) fn path(&self) -> PathBuf {
        self.dir.path().join("hallpass.db")
    }

    pub(in crate::store) fn options(&self, open_as: OpenAs) -> StoreOptions {
        Self::options_of(self.path(), open_as)
    }

    /// A fatal error must not end the test process, which runs other tests too.
    pub(in crate::store) fn options_of(path: PathBuf, open_as: OpenAs) -> StoreOptions {
        StoreOptions {
            lock_wait: Duration::ZERO,
            on_fatal: |fatal| panic!("{fatal}"),
            ..StoreOptions::sqlite(path, open_as)
        }
    }

    pub(in crate::store) fn open(&self, open_as: OpenAs) -> Db {
        Self::open_at(&self.path(), open_as)
    }

    pub(in crate::store) fn open_at(path: &Path, open_as: OpenAs) -> Db {
        Db::open(&Self::options_of(path.to_owned(), open_as)).unwrap()
    }

    /// The names of the files in the folder, sorted.
    pub(in crate::store) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn person(name: &str) -> User {
    User {
        id: UserId::generate(NOW),
        username: Username::parse(name).unwrap(),
        kind: UserKind::Person,
        role: Role::Member,
        description: Note::parse("someone".to_owned()).unwrap(),
        create_time: NOW,
        update_time: NOW,
        deactivated: false,
    }
}

pub(crate) fn machine(name: &str, owner: &User) -> User {
    User {
        kind: UserKind::Machine { owner: owner.id },
        ..person(name)
    }
}

pub(crate) fn token(user: &User) -> Token {
    let id = TokenId::generate(NOW);
    Token {
        id,
        user_id: user.id,
        note: Note::parse("ci".to_owned()).unwrap(),
        scopes: ScopeSet::parse(["deploy", "hallpass:tokens:read"]).unwrap(),
        allowed_cidrs: CidrSet::parse(["10.0.0.0/8", "2001:db8::/32"]).unwrap(),
        create_time: NOW,
        expire_time: None,
        disabled: None,
        parent_id: None,
        family_id: id,
        delete_time: None,
        successor_id: None,
        last_use: None,
        reuse_time: None,
    }
}

pub(crate) fn hash(token: &Token) -> TokenHash {
    TokenText::generate(&TokenPrefix::default(), token.id).hash()
}

pub(crate) fn event(action: &'static str) -> AuditEvent {
    AuditEvent {
        time: NOW,
        actor: "local:0".to_owned(),
        credential_kind: "token",
        credential_id: "credential".to_owned(),
        target: "target".to_owned(),
        action,
        outcome: "ok",
        count: 3,
        request_id: "request".to_owned(),
        successor_id: String::new(),
        client_request_id: "client".to_owned(),
        ip: "::1".to_owned(),
        user_agent: "curl".to_owned(),
    }
}
