//! Bootstrap: the first start on an empty database creates the user `admin`.

use std::{io, path::PathBuf};

use crate::{
    domain::{secret::Secret, user::Username},
    store::users,
};

pub use super::initial_password::OthersMayRead;
use super::initial_password::PasswordFile;
use super::{
    App, AppOptions, Error,
    passwords::{NewPassword, PasswordError},
};

/// Username of the first admin.
pub const FIRST_ADMIN: &str = "admin";

/// The outcome of a bootstrap.
#[derive(Debug)]
pub enum BootstrapResult {
    /// There are users already: nothing was done.
    AlreadySetUp,
    /// The first admin was created with the password that was given.
    CreatedWithGivenPassword,
    /// The first admin was created with a random password.
    CreatedWithRandomPassword {
        /// The password, which may only be shown on a terminal.
        password: Secret,
        /// The file that holds it until it is changed.
        file: PathBuf,
    },
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
    /// Any other error of a use case.
    #[error(transparent)]
    App(#[from] Error),
}

/// Dry run of [`App::bootstrap`]: checks the `given` password, or else the file for a random one.
///
/// # Errors
/// The password breaks the policy, or the file cannot be used.
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
    /// Creates the first admin on an empty database, with the password `given` or else a random one. A random
    /// password is synced to its file before the user is created, and is reused after a crash in between.
    pub async fn bootstrap(
        &self,
        given: Option<Secret>,
    ) -> Result<BootstrapResult, BootstrapError> {
        if !self.has_no_users().await? {
            return Ok(BootstrapResult::AlreadySetUp);
        }
        let username = Username::parse(FIRST_ADMIN).expect("the name is well formed");
        if let Some(given) = given {
            let password = NewPassword::parse(&given, FIRST_ADMIN)?;
            let created = self.create_first_admin(username, password).await?;
            return Ok(match created {
                Some(_) => BootstrapResult::CreatedWithGivenPassword,
                None => BootstrapResult::AlreadySetUp,
            });
        }
        let options = self.options();
        let file = PasswordFile::new(&options.initial_password_file);
        let password = file
            .read_or_create(options.allow_open_permissions)
            .map_err(|source| file.failed(source))?;
        let checked = NewPassword::parse(&password, FIRST_ADMIN)?;
        Ok(match self.create_first_admin(username, checked).await? {
            Some(_) => BootstrapResult::CreatedWithRandomPassword {
                password,
                file: file.path().to_owned(),
            },
            None => BootstrapResult::AlreadySetUp,
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
