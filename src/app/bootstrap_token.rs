//! The bootstrap token: the first start leaves a machine's token in a file, so that automation can begin without a
//! person.
//!
//! The token's hash is noted in the database first, then the file is written, then the users and the token are
//! committed together. So after a crash at any time the next start can tell a file that this database wrote, whose token
//! it makes valid, from one of another database, which it refuses.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    domain::{
        audit::AuditEvent,
        cidr::CidrSet,
        id::{RequestId, TokenId, UserId},
        lifetime,
        note::Note,
        presented_token::PresentedToken,
        scope::ScopeSet,
        secret::Secret,
        time::Timestamp,
        token::Token,
        token_text::{TokenHash, TokenText},
        user::{Role, User, UserKind, Username},
    },
    store::{Tx, audit, meta, tokens, users},
};

use super::{
    App, Error,
    caller::{Caller, ClientInfo, Proof},
    error::FieldError,
    secret_file::{OthersMayRead, SecretFile},
};

/// Username of the machine that the token belongs to.
const FIRST_MACHINE: &str = "bootstrap";

/// A token that the first start is to create.
#[derive(Clone, Debug)]
pub struct BootstrapToken {
    /// The file to leave it in.
    pub file: PathBuf,
    /// How long it lives.
    pub ttl: Duration,
}

/// Why the token was not created.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapTokenError {
    /// It cannot be left in its file.
    #[error("cannot leave the bootstrap token in {}: {problem}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// Any other error of a use case.
    #[error(transparent)]
    App(#[from] Error),
}

/// What is wrong with the file for the token.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Its folder does not exist.
    #[error("there is no folder {}: create it first", .0.display())]
    NoFolder(PathBuf),
    /// It holds another token.
    #[error(
        "it holds a token that this database does not know, such as one of a database that was deleted: delete the \
         file if nobody needs it, or name another, and start again"
    )]
    OtherToken,
    /// It holds something else.
    #[error(
        "there is a file that this database did not write, and it is not overwritten: delete it or name another, and \
         start again"
    )]
    OtherFile,
}

impl BootstrapTokenError {
    /// Whether the only fault is that others may read the file.
    pub fn is_open_permissions(&self) -> bool {
        matches!(self, Self::File { problem: FileProblem::Io(error), .. } if OthersMayRead::is_why(error))
    }
}

/// What the file of a later start holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftToken {
    /// No token, or nothing that can be read.
    None,
    /// A token that is still valid.
    Valid,
    /// A token that is not valid in this database.
    Invalid,
}

impl BootstrapToken {
    /// Checks the file where there is no database: it must not exist.
    pub(super) fn check(&self, or_group: bool) -> Result<(), BootstrapTokenError> {
        self.reuse(None, or_group).map(drop)
    }

    fn failed(&self, problem: impl Into<FileProblem>) -> BootstrapTokenError {
        let path = self.file.clone();
        let problem = problem.into();
        BootstrapTokenError::File { path, problem }
    }

    /// The token that a crashed start left in the file; `noted` is the hash that it noted before.
    fn reuse(
        &self,
        noted: Option<TokenHash>,
        or_group: bool,
    ) -> Result<Option<TokenText>, BootstrapTokenError> {
        let file = SecretFile::new(&self.file);
        let text = match file.read(or_group) {
            Ok(None) => return self.check_folder().map(|()| None),
            Ok(Some(text)) => text,
            Err(error) => return Err(self.failed(error)),
        };
        match (TokenText::parse(text.expose()), noted) {
            (Ok(token), Some(noted)) if token.hash().matches(&noted) => Ok(Some(token)),
            (Ok(_), _) => Err(self.failed(FileProblem::OtherToken)),
            // It crashed between creating and writing the file.
            (Err(_), Some(_)) if text.expose().is_empty() => {
                file.delete().map_err(|error| self.failed(error))?;
                Ok(None)
            }
            (Err(_), _) => Err(self.failed(FileProblem::OtherFile)),
        }
    }

    fn check_folder(&self) -> Result<(), BootstrapTokenError> {
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        match fs::metadata(folder) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.failed(FileProblem::NoFolder(folder.to_owned())))
            }
            Err(error) => Err(self.failed(error)),
        }
    }
}

/// The machine and its token, which are to be inserted.
pub(super) struct NewToken {
    machine: User,
    token: Token,
    hash: TokenHash,
    events: [AuditEvent; 2],
}

impl NewToken {
    pub(super) const fn expire_time(&self) -> Option<Timestamp> {
        self.token.expire_time
    }

    pub(super) fn insert(&self, tx: &Tx<'_>) -> Result<(), Error> {
        users::insert(tx, &self.machine, None)?;
        tokens::insert(tx, &self.token, &self.hash)?;
        for event in &self.events {
            audit::append(tx, event.clone())?;
        }
        Ok(())
    }
}

impl App {
    /// Leaves a new token in the file that the options name, and returns what is to be inserted to make it valid.
    pub(super) async fn new_bootstrap_token(
        &self,
        owner: &User,
    ) -> Result<Option<NewToken>, BootstrapTokenError> {
        let Some(wanted) = &self.options().bootstrap_token else {
            return Ok(None);
        };
        let now = owner.create_time;
        let expire_time = Some(now.plus(wanted.ttl));
        lifetime::check(expire_time, now, self.options().machines.limits(None))
            .map_err(|error| Error::from(FieldError::new("expire_time", error)))?;

        let noted = self.read(|tx| Ok(meta::bootstrap_token(tx)?)).await?;
        let text = match wanted.reuse(noted, self.options().allow_open_permissions)? {
            Some(text) => text,
            None => self.write_bootstrap_token(wanted, now).await?,
        };
        let machine = User {
            id: UserId::generate(now),
            username: Username::parse(FIRST_MACHINE).expect("the name is well formed"),
            kind: UserKind::Machine { owner: owner.id },
            role: Role::Admin,
            description: Note::parse("Created by the first start".to_owned())
                .expect("the text is well formed"),
            create_time: now,
            update_time: now,
            deactivated: false,
        };
        let token = Token {
            id: text.id(),
            user_id: machine.id,
            note: Note::parse("bootstrap".to_owned()).expect("the text is well formed"),
            scopes: ScopeSet::default(),
            allowed_cidrs: CidrSet::default(),
            create_time: now,
            expire_time,
            disabled: None,
            parent_id: None,
            family_id: text.id(),
            delete_time: None,
            successor_id: None,
            last_use: None,
            reuse_time: None,
        };
        let process = Caller::local(
            rustix::process::geteuid().as_raw(),
            ClientInfo {
                request_id: RequestId::generate(now),
                client_request_id: None,
                ip: None,
                user_agent: String::new(),
            },
        );
        Ok(Some(NewToken {
            events: [
                process.event(now, "user.create", machine.id),
                process.event(now, "token.create", token.id),
            ],
            machine,
            token,
            hash: text.hash(),
        }))
    }

    async fn write_bootstrap_token(
        &self,
        wanted: &BootstrapToken,
        now: Timestamp,
    ) -> Result<TokenText, BootstrapTokenError> {
        let text = TokenText::generate(&self.options().token_prefix, TokenId::generate(now));
        let hash = text.hash();
        self.write(move |tx| Ok::<_, Error>(meta::set_bootstrap_token(tx, &hash)?))
            .await?;
        let file = SecretFile::new(&wanted.file);
        file.create(&Secret::new(text.expose().to_owned()))
            .map_err(|error| wanted.failed(error))?;
        Ok(text)
    }

    /// What the file of `wanted` holds now that there are users.
    pub async fn left_bootstrap_token(&self, wanted: &BootstrapToken) -> Result<LeftToken, Error> {
        let Ok(Some(text)) = SecretFile::new(&wanted.file).read(true) else {
            return Ok(LeftToken::None);
        };
        let Ok(presented) = PresentedToken::parse(text.expose()) else {
            return Ok(LeftToken::None);
        };
        match self.find_credential(presented).await {
            Ok(known) if known.credential.lineage.check(self.now(), None).is_ok() => {
                Ok(LeftToken::Valid)
            }
            Ok(_) | Err(Error::Unauthenticated(_)) => Ok(LeftToken::Invalid),
            Err(error) => Err(error),
        }
    }
}

/// Whether the caller's token is the bootstrap token. Tokens that are created with it have no parent: it is to be
/// revoked as soon as there are others, which must not end with it.
pub(super) fn is_caller(tx: &Tx<'_>, caller: &Caller) -> Result<bool, Error> {
    let Proof::Token(known) = &caller.proof else {
        return Ok(false);
    };
    let user = known.credential.user.as_ref();
    if user.is_none_or(|user| user.username.as_str() != FIRST_MACHINE) {
        return Ok(false);
    }
    let noted = meta::bootstrap_token(tx)?;
    Ok(noted.is_some_and(|noted| noted.matches(&known.credential.hash)))
}
