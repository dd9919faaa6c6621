//! The first start, on an empty database: creates the user `admin`, and prints how to sign in.

use std::{
    io::{self, IsTerminal},
    thread,
};

use tokio::sync::oneshot;

use crate::{
    app::{
        App,
        bootstrap::{BootstrapError, BootstrapResult, OthersMayRead},
    },
    config::{
        environment::ADMIN_PASSWORD,
        secrets::{ADMIN_PASSWORD_FILE, SecretSource, read_secret_file},
    },
    domain::{secret::Secret, visible},
};

use super::super::{
    failure::{Failure, OPEN_PERMISSIONS},
    logging::LogQueue,
};

/// On an empty database, creates the first admin and prints how to sign in.
pub(super) async fn first_start(
    app: &App,
    password: SecretSource,
    log: &LogQueue,
) -> Result<(), Failure> {
    let is_given = !matches!(password, SecretSource::NotSet);
    // Only a first start needs it. For a later one, its file may be gone, or be a pipe.
    let is_first = app.has_no_users().await?;
    let given = if is_first {
        read(password).await?
    } else {
        None
    };
    match app.bootstrap(given).await.map_err(failure)? {
        BootstrapResult::AlreadySetUp if is_given => {
            tracing::info!("{ADMIN_PASSWORD} is ignored: the database has users already");
        }
        BootstrapResult::AlreadySetUp => {}
        BootstrapResult::CreatedWithGivenPassword => {
            tracing::info!("created the user admin with the password of {ADMIN_PASSWORD}");
        }
        BootstrapResult::CreatedWithRandomPassword { password, file } => {
            let file = file.display();
            if io::stderr().is_terminal() {
                let hint = format!(
                    "Created the first user. Sign in as:\n  username: admin\n  password: {}\n\
                     The password is also in {}, until it is changed: hallpass user set-password admin\n",
                    password.expose(),
                    visible::escape(&file.to_string()),
                );
                log.push(hint.as_bytes());
            } else {
                tracing::warn!(
                    %file,
                    "created the user admin: its password is in this file, until it is changed"
                );
            }
        }
    }
    Ok(())
}

/// Reads a file on a thread that the end of the process does not wait for: it may be a pipe that nobody writes to.
async fn read(password: SecretSource) -> Result<Option<Secret>, Failure> {
    let path = match password {
        SecretSource::NotSet => return Ok(None),
        SecretSource::Variable(password) => return Ok(Some(password)),
        SecretSource::File(path) => path,
    };
    let (done, is_read) = oneshot::channel();
    let read = move || drop(done.send(read_secret_file(&path, ADMIN_PASSWORD_FILE)));
    let thread = thread::Builder::new().name("secret".to_owned());
    thread.spawn(read).map_err(super::cannot_start)?;
    let read = is_read.await.expect("the thread sends before it ends");
    Ok(Some(read?))
}

pub(in crate::cli) fn failure(error: BootstrapError) -> Failure {
    match error {
        BootstrapError::App(error) => Failure::from(error),
        BootstrapError::File { ref source, .. } if OthersMayRead::is_why(source) => {
            Failure::failed(error.to_string() + OPEN_PERMISSIONS)
        }
        other => Failure::failed(other.to_string()),
    }
}
