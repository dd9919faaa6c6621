//! Stored logins: the token that `hallpass login` stores for each server, and the server that commands use by default.
//!
//! They are in the user's folder `hallpass` in `$XDG_CONFIG_HOME` or `~/.config`: `logins.json` has what is not secret,
//! and each token has a file of its own. A token is sent only to the server that it is stored for, by scheme, host,
//! port and path.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    client_tls::ClientTls, environment::variable, private_file::Folder,
    server_address::ServerAddress,
};
use crate::domain::secret::Secret;

const LIST: &str = "logins.json";

/// A login, without its token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Login {
    /// Whose token it is.
    pub username: String,
    /// The token's ID.
    pub token_id: String,
    /// The file with the token.
    pub token_file: PathBuf,
    /// Whether the login created the token, so that nothing else uses it.
    pub made_by_login: bool,
    /// Whether the token may be sent to that server unencrypted.
    pub insecure: bool,
    /// The files with which to speak TLS to that server, by absolute paths.
    #[serde(default, skip_serializing_if = "ClientTls::is_default")]
    pub tls: ClientTls,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    /// The server of the last login.
    current: Option<String>,
    /// By the server's address.
    logins: BTreeMap<String, Login>,
}

impl Login {
    /// The token.
    ///
    /// # Errors
    /// Its file cannot be read, does not exist, or is accessible to other users.
    pub fn token(&self) -> Result<Secret, LoginError> {
        let (folder, name) = split(&self.token_file)?;
        let read = Folder::named(folder).and_then(|folder| folder.read(name));
        let content = at(&self.token_file, read)?.ok_or(LoginError::Gone)?;
        let text = String::from_utf8(content).map_err(|_| LoginError::Gone)?;
        Ok(Secret::new(text.trim().to_owned()))
    }
}

/// The login for the server at `address`.
///
/// # Errors
/// What is stored cannot be read.
pub fn find(address: &ServerAddress) -> Result<Option<Login>, LoginError> {
    Ok(read()?.logins.remove(&address.to_string()))
}

/// The last login, and its server.
///
/// # Errors
/// What is stored cannot be read.
pub fn current() -> Result<Option<(ServerAddress, Login)>, LoginError> {
    let mut list = read()?;
    let Some(address) = list.current else {
        return Ok(None);
    };
    let login = list.logins.remove(&address);
    let address = ServerAddress::parse(&address).map_err(|_| LoginError::Unreadable)?;
    Ok(login.map(|login| (address, login)))
}

fn read() -> Result<List, LoginError> {
    let Some(path) = path() else {
        return Ok(List::default());
    };
    match at(&path, Folder::find(&path))? {
        Some(folder) => list(&path, &folder),
        None => Ok(List::default()),
    }
}

fn list(path: &Path, folder: &Folder) -> Result<List, LoginError> {
    match at(&path.join(LIST), folder.read(OsStr::new(LIST)))? {
        Some(content) => serde_json::from_slice(&content).map_err(|_| LoginError::Unreadable),
        None => Ok(List::default()),
    }
}

/// The logins, locked for changes.
#[derive(Debug)]
pub struct Logins {
    path: PathBuf,
    folder: Folder,
    list: List,
}

impl Logins {
    /// Opens and locks them. The folder is created if it does not exist.
    ///
    /// # Errors
    /// The user has no home, or what is stored cannot be read.
    pub fn open() -> Result<Self, LoginError> {
        let path = path().ok_or(LoginError::Nowhere)?;
        let folder = Folder::make(&path).and_then(|folder| {
            folder.lock()?;
            Ok(folder)
        });
        let folder = at(&path, folder)?;
        let list = list(&path, &folder)?;
        Ok(Self { path, folder, list })
    }

    /// The default file for a token.
    pub fn file_for(&self, token_id: &str) -> PathBuf {
        self.path.join(format!("{token_id}.token"))
    }

    /// Stores a login, which becomes the current one, and returns the one that it replaces, with its token.
    ///
    /// # Errors
    /// It cannot be written. Then the stored login is unchanged.
    pub fn store(
        &mut self,
        address: &ServerAddress,
        login: Login,
        token: &Secret,
    ) -> Result<Option<(Login, Secret)>, LoginError> {
        let (folder, name) = split(&login.token_file)?;
        let file = login.token_file.clone();
        let before = self.list.logins.get(&address.to_string()).cloned();
        // Read before the file may be overwritten.
        let before = before.and_then(|login| login.token().ok().map(|token| (login, token)));
        let line = format!("{}\n", token.expose());
        let written = Folder::named(folder).and_then(|folder| folder.write(name, line.as_bytes()));
        at(&file, written)?;
        self.list.current = Some(address.to_string());
        self.list.logins.insert(address.to_string(), login);
        if let Err(error) = self.write() {
            // No login refers to it.
            delete(&file)?;
            return Err(error);
        }
        if let Some((before, _)) = before
            .as_ref()
            .filter(|(login, _)| login.token_file != file)
        {
            delete(&before.token_file)?;
        }
        Ok(before)
    }

    /// Deletes the login for a server, and its token from this machine.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub fn forget(&mut self, address: &ServerAddress) -> Result<(), LoginError> {
        let address = address.to_string();
        let forgotten = self.list.logins.remove(&address);
        if self.list.current.as_ref() == Some(&address) {
            self.list.current = None;
        }
        self.write()?;
        forgotten.map_or(Ok(()), |login| delete(&login.token_file))
    }

    fn write(&self) -> Result<(), LoginError> {
        let content = serde_json::to_vec_pretty(&self.list).map_err(|_| LoginError::Unreadable)?;
        let written = self.folder.write(OsStr::new(LIST), &content);
        at(&self.path.join(LIST), written)
    }
}

fn delete(path: &Path) -> Result<(), LoginError> {
    let (folder, name) = split(path)?;
    let deleted = Folder::named(folder).and_then(|folder| folder.delete(name));
    match deleted {
        // The folder is gone as well.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        deleted => at(path, deleted),
    }
}

fn split(path: &Path) -> Result<(&Path, &OsStr), LoginError> {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => Ok((folder, name)),
        _ => at(path, Err(io::ErrorKind::IsADirectory.into())),
    }
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, LoginError> {
    result.map_err(|source| LoginError::File {
        path: path.to_owned(),
        source,
    })
}

/// The folder, which may not exist. A relative path in the variable is invalid (XDG Base Directory Specification).
fn path() -> Option<PathBuf> {
    let (config, home) = (variable("XDG_CONFIG_HOME"), variable("HOME"));
    let absolute = |path| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let config = config.and_then(absolute);
    let config = config.or_else(|| home.and_then(absolute).map(|home| home.join(".config")));
    config.map(|config| config.join("hallpass"))
}

/// Why a login cannot be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The user has no home.
    #[error("there is no folder for a login: set HOME or XDG_CONFIG_HOME to an absolute path")]
    Nowhere,
    /// The file or folder cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another program or a newer Hallpass wrote it.
    #[error("the stored logins cannot be read: delete {LIST}, and log in again")]
    Unreadable,
    /// The file of the token was deleted.
    #[error("the token of the stored login is gone: run `hallpass login` again")]
    Gone,
}
