//! Bootstrap: the first start on an empty database creates the user `admin`, and a machine with a token if it is to.

use std::{io, path::PathBuf};

use crate::{
    domain::{
        id::UserId,
        note::Note,
        random,
        secret::Secret,
        time::Timestamp,
        user::{Role, User, UserKind, Username},
    },
    store::{audit as audit_rows, users},
};

pub use super::{
    bootstrap_token::{BootstrapToken, BootstrapTokenError, LeftToken},
    secret_file::OthersMayRead,
};

use super::{
    App, AppOptions, Error, audit,
    bootstrap_token::NewToken,
    passwords::{NewPassword, PasswordError},
    secret_file::SecretFile,
};

/// Username of the first admin.
pub const FIRST_ADMIN: &str = "admin";

/// What a bootstrap did.
#[derive(Debug)]
pub enum BootstrapResult {
    /// There are users already: nothing was done.
    AlreadySetUp,
    /// The first admin was created.
    Created {
        /// The random password; `None`: the given one.
        password: Option<RandomPassword>,
        /// When the token expires that was created, too.
        token_expires: Option<Timestamp>,
    },
}

/// The password of the first admin if none was given.
#[derive(Debug)]
pub struct RandomPassword {
    /// The password, which may only be shown on a terminal.
    pub password: Secret,
    /// The file that holds it until it is changed.
    pub file: PathBuf,
}

/// Why the first admin could not be created.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The given password breaks the password policy.
    #[error("the password given for the first admin {0}")]
    Password(#[from] PasswordError),
    /// The file for the random password cannot be read or created.
    #[error("cannot keep the first admin's password in {}: {source}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The underlying error.
        source: io::Error,
    },
    /// The token was not created.
    #[error(transparent)]
    Token(#[from] BootstrapTokenError),
    /// Any other error of a use case.
    #[error(transparent)]
    App(#[from] Error),
}

/// Dry run of [`App::bootstrap`] where there is no database: checks the `given` password, or else the file for a random
/// one, and the file for the token.
///
/// # Errors
/// The password breaks the policy, or a file cannot be used.
pub fn check(options: &AppOptions, given: Option<&Secret>) -> Result<(), BootstrapError> {
    if let Some(given) = given {
        NewPassword::parse(given, FIRST_ADMIN)?;
    } else {
        let file = SecretFile::new(&options.initial_password_file);
        let read = file.read(options.allow_open_permissions);
        read.map_err(|source| failed(&file, source))?;
    }
    match &options.bootstrap_token {
        Some(token) => Ok(token.check(options.allow_open_permissions)?),
        None => Ok(()),
    }
}

impl App {
    /// Creates the first admin on an empty database, with the password `given` or else a random one, and the machine
    /// with a token where the options have one. What is random is synced to its file before the users are created, and
    /// is reused after a crash in between.
    pub async fn bootstrap(
        &self,
        given: Option<Secret>,
    ) -> Result<BootstrapResult, BootstrapError> {
        if !self.has_no_users().await? {
            return Ok(BootstrapResult::AlreadySetUp);
        }
        let options = self.options();
        let (password, is_random) = match given {
            Some(given) => (given, false),
            None => (random_password(options)?, true),
        };
        let checked = NewPassword::parse(&password, FIRST_ADMIN)?;
        let hash = self.hasher().hash(checked).await.map_err(Error::from)?;
        let now = self.now();
        let admin = User {
            id: UserId::generate(now),
            username: Username::parse(FIRST_ADMIN).expect("the name is well formed"),
            kind: UserKind::Person,
            role: Role::Admin,
            description: Note::default(),
            create_time: now,
            update_time: now,
            deactivated: false,
        };
        let token = self.new_bootstrap_token(&admin).await?;
        let token_expires = token.as_ref().and_then(NewToken::expire_time);
        let event = audit::system_event(now, "user.create", admin.id);
        let is_created = self.write(move |tx| {
            if !users::is_empty(tx)? {
                return Ok(false);
            }
            users::insert(tx, &admin, Some(hash.as_str()))?;
            audit_rows::append(tx, event.clone())?;
            if let Some(token) = &token {
                token.insert(tx)?;
            }
            Ok::<_, Error>(true)
        });
        if !is_created.await? {
            return Ok(BootstrapResult::AlreadySetUp);
        }
        let file = options.initial_password_file.clone();
        Ok(BootstrapResult::Created {
            password: is_random.then_some(RandomPassword { password, file }),
            token_expires,
        })
    }

    /// Whether there is no user yet, so that [`App::bootstrap`] has something to do.
    pub async fn has_no_users(&self) -> Result<bool, Error> {
        self.read(|tx| Ok(users::is_empty(tx)?)).await
    }

    /// Deletes the file with the first admin's random password, once `username`'s password was changed.
    pub(super) fn forget_initial_password(&self, username: &Username) {
        if username.as_str() != FIRST_ADMIN {
            return;
        }
        let file = SecretFile::new(&self.options().initial_password_file);
        if let Err(error) = file.delete() {
            tracing::warn!(
                file = %file.path().display(),
                %error,
                "the file with the first admin's old password could not be deleted"
            );
        }
    }
}

/// The password in its file, which is created if it does not exist.
fn random_password(options: &AppOptions) -> Result<Secret, BootstrapError> {
    let file = SecretFile::new(&options.initial_password_file);
    let read_or_create = || {
        match file.read(options.allow_open_permissions)? {
            Some(password) if !password.expose().is_empty() => return Ok(password),
            // The process crashed between creating and writing it. The file is ours and empty, so create it again.
            Some(_) => file.delete()?,
            None => {}
        }
        let password = generate();
        file.create(&password)?;
        Ok(password)
    };
    read_or_create().map_err(|source| failed(&file, source))
}

fn failed(file: &SecretFile, source: io::Error) -> BootstrapError {
    let path = file.path().to_owned();
    BootstrapError::File { path, source }
}

/// 120 random bits, in letters and digits that are hard to confuse, hyphenated for readability.
fn generate() -> Secret {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345678";
    let digits = random::bytes::<24>().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    let groups: Vec<String> = digits
        .chunks(6)
        .map(|group| group.iter().collect())
        .collect();
    Secret::new(groups.join("-"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn random_password_is_reused_unless_a_crash_left_its_file_empty() {
        let folder = tempfile::tempdir().unwrap();
        let options = AppOptions {
            initial_password_file: folder.path().join("password"),
            ..AppOptions::default()
        };
        let password = || random_password(&options).unwrap().expose().to_owned();
        let first = password();
        assert_eq!(first.len(), 27);
        assert_eq!(password(), first);
        fs::write(&options.initial_password_file, "").unwrap();
        let second = password();
        assert_eq!((second.len(), second == first), (27, false));
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(&options.initial_password_file, open).unwrap();
        random_password(&options).unwrap_err();
    }
}
