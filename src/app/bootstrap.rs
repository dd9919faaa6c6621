//! The first start: an empty database gets the user `admin`.

mod password_file;

use std::{io, path::PathBuf};

use crate::{
    domain::{secret::Secret, user::Username},
    store::users,
};

use super::{
    App, AppOptions, Error,
    passwords::{NewPassword, PasswordError},
};
pub use password_file::OthersMayRead;
use password_file::PasswordFile;

/// The name of the first admin.
pub const FIRST_ADMIN: &str = "admin";

/// What a start found or did.
#[derive(Debug)]
pub enum Outcome {
    /// There are users: nothing was done.
    AlreadySetUp,
    /// The first admin was created with the password that was given.
    CreatedWithGivenPassword,
    /// The first admin was created with a random password.
    CreatedWithRandomPassword {
        /// The password, to be shown on a terminal only.
        password: Secret,
        /// The file that it is in until it is changed.
        file: PathBuf,
    },
}

/// Why the first admin could not be created.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The password that was given is refused.
    #[error("the password given for the first admin {0}")]
    Password(#[from] PasswordError),
    /// The file for the random password cannot be used.
    #[error("cannot keep the first admin's password in {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// As in every use case.
    #[error(transparent)]
    App(#[from] Error),
}

/// Checks, without doing it, whether [`App::bootstrap`] could make the first admin: with the password `given`, or
/// with a random one in its file.
///
/// # Errors
/// The password may not be chosen, or the file cannot be used.
pub fn check(options: &AppOptions, given: Option<&Secret>) -> Result<(), BootstrapError> {
    if let Some(given) = given {
        NewPassword::parse(given, FIRST_ADMIN)?;
        return Ok(());
    }
    let file = PasswordFile::new(&options.initial_password_file);
    file.check(options.allow_open_permissions)
        .map_err(|source| file.failed(source))
}

impl App {
    /// Creates the first admin on an empty database, with the password `given` or else a random one. That
    /// one is safe in its file before the user is there, and is used again by a start after a crash.
    pub async fn bootstrap(&self, given: Option<Secret>) -> Result<Outcome, BootstrapError> {
        if !self.has_no_users().await? {
            return Ok(Outcome::AlreadySetUp);
        }
        let username = Username::parse(FIRST_ADMIN).expect("the name is well formed");
        if let Some(given) = given {
            let password = NewPassword::parse(&given, FIRST_ADMIN)?;
            let created = self.create_first_admin(username, password).await?;
            return Ok(match created {
                Some(_) => Outcome::CreatedWithGivenPassword,
                None => Outcome::AlreadySetUp,
            });
        }
        let options = self.options();
        let file = PasswordFile::new(&options.initial_password_file);
        let password = file
            .read_or_create(options.allow_open_permissions)
            .map_err(|source| file.failed(source))?;
        let checked = NewPassword::parse(&password, FIRST_ADMIN)?;
        Ok(match self.create_first_admin(username, checked).await? {
            Some(_) => Outcome::CreatedWithRandomPassword {
                password,
                file: file.path().to_owned(),
            },
            None => Outcome::AlreadySetUp,
        })
    }

    /// Whether this is a first start.
    pub async fn has_no_users(&self) -> Result<bool, Error> {
        self.read(|tx| Ok(users::is_empty(tx)?)).await
    }

    /// Deletes the file with the first admin's password, which is of no more use.
    pub(super) fn forget_initial_password(&self, username: &Username) {
        if username.as_str() != FIRST_ADMIN {
            return;
        }
        let file = PasswordFile::new(&self.options().initial_password_file);
        if let Err(error) = file.delete() {
            tracing::warn!(
                file = %file.path().display(),
                %error,
                "the file with the first admin's old password could not be deleted"
            );
        }
    }
}

impl PasswordFile {
    fn failed(&self, source: io::Error) -> BootstrapError {
        let path = self.path().to_owned();
        BootstrapError::File { path, source }
    }
}
