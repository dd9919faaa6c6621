//! The first start, on an empty database: creates the user `admin`, and prints how to sign in.

use std::{
    io::{self, IsTerminal},
    thread,
};

use tokio::sync::oneshot;

use crate::{
    app::{
        App,
        bootstrap::{
            BootstrapError, BootstrapResult, BootstrapToken, BootstrapTokenError, LeftToken,
            OthersMayRead, RandomPassword,
        },
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
    bootstrap_token: Option<BootstrapToken>,
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
        BootstrapResult::AlreadySetUp => {
            if is_given {
                tracing::info!("{ADMIN_PASSWORD} is ignored: the database has users already");
            }
            tell_left_token(app, bootstrap_token.as_ref()).await?;
        }
        BootstrapResult::Created {
            password,
            token_expires,
        } => {
            match password {
                Some(password) => tell_password(&password, log),
                None => {
                    tracing::info!("created the user admin with the password of {ADMIN_PASSWORD}");
                }
            }
            if let (Some(token), Some(expires)) = (bootstrap_token, token_expires) {
                tracing::warn!(
                    file = %token.file.display(),
                    %expires,
                    "created the machine bootstrap, an admin: its token is in this file: revoke it, and delete the \
                     file, once it has been used"
                );
            }
        }
    }
    Ok(())
}

fn tell_password(random: &RandomPassword, log: &LogQueue) {
    let file = random.file.display();
    if io::stderr().is_terminal() {
        let hint = format!(
            "Created the first user. Sign in as:\n  username: admin\n  password: {}\n\
             The password is also in {}, until it is changed: hallpass user set-password admin\n",
            random.password.expose(),
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

/// Says at a later start that no token is written, and whether the one in the file is still valid.
async fn tell_left_token(app: &App, token: Option<&BootstrapToken>) -> Result<(), Failure> {
    let Some(token) = token else { return Ok(()) };
    let file = token.file.display();
    match app.left_bootstrap_token(token).await? {
        LeftToken::None => tracing::info!(
            %file,
            "--bootstrap-token-file is ignored, and no file is written: the database has users already"
        ),
        LeftToken::Valid => tracing::warn!(
            %file,
            "the bootstrap token in this file is still valid: revoke it, and delete the file, once it has been used"
        ),
        LeftToken::Invalid => tracing::warn!(
            %file,
            "the bootstrap token in this file is not valid, and no other is written: the database has users already. \
             Delete the file"
        ),
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
        BootstrapError::App(error) | BootstrapError::Token(BootstrapTokenError::App(error)) => {
            Failure::from(error)
        }
        BootstrapError::File { ref source, .. } if OthersMayRead::is_why(source) => {
            Failure::failed(error.to_string() + OPEN_PERMISSIONS)
        }
        BootstrapError::Token(ref error) if error.is_open_permissions() => {
            Failure::failed(error.to_string() + OPEN_PERMISSIONS)
        }
        other => Failure::failed(other.to_string()),
    }
}
