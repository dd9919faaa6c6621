//! A file in which the first start leaves a secret: the first admin's random password, or the bootstrap token.
//!
//! It is created exclusively with mode 0600, without following links, and is synced before anything depends on it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::{domain::secret::Secret, store::file_type_name};

/// Read limit; longer than any password or token may be.
const MAX_BYTES: u64 = 2_048;

/// The file exists, but others may have read the secret.
#[derive(Debug, thiserror::Error)]
#[error("others may read it: delete it and start again")]
pub struct OthersMayRead;

impl OthersMayRead {
    /// Whether `error` is this one.
    pub fn is_why(error: &io::Error) -> bool {
        let inner = error.get_ref();
        inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

/// The file's path; the file may not exist.
#[derive(Debug)]
pub(super) struct SecretFile(PathBuf);

impl SecretFile {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The secret in the file, without white space around it; `None`: there is no file. It is empty if the process
    /// crashed between creating the file and writing it.
    ///
    /// An existing file must belong to this process's user, and nobody else may have access. With `or_group`, one of
    /// the process's groups may, which is how a Kubernetes volume with an `fsGroup` looks.
    pub(super) fn read(&self, or_group: bool) -> io::Result<Option<Secret>> {
        let file = match self.open(or_group) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok(Some(Secret::new(text.trim().to_owned())))
    }

    /// Creates the file with `secret` in it; an existing file is an error.
    pub(super) fn create(&self, secret: &Secret) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = at_once(options.write(true).create_new(true).mode(0o600)).open(&self.0)?;
        let line = Zeroizing::new(format!("{}\n", secret.expose()));
        let written = file
            .write_all(line.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| File::open(self.folder())?.sync_all());
        if written.is_err() {
            // Such as on a full disk: no half of a secret should remain.
            let _left = self.delete();
        }
        written
    }

    fn folder(&self) -> &Path {
        match self.0.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// Deletes the file if it exists.
    pub(super) fn delete(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn open(&self, or_group: bool) -> io::Result<File> {
        let refuse = |problem: &str| Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        // Checked before opening, because opening a device can have side effects.
        let found = fs::symlink_metadata(&self.0)?.file_type();
        if !found.is_file() {
            return refuse(&format!("it is {}: move it away", file_type_name(found)));
        }
        let file = at_once(OpenOptions::new().read(true)).open(&self.0)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return refuse("it is no file: move it away");
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return refuse("it is not ours: delete it and start again");
        }
        let by_group = or_group && is_in_group(metadata.gid());
        if metadata.mode() & if by_group { 0o007 } else { 0o077 } != 0 {
            return Err(io::Error::other(OthersMayRead));
        }
        Ok(file)
    }
}

fn is_in_group(group: u32) -> bool {
    let groups = rustix::process::getgroups().unwrap_or_default();
    let own = [rustix::process::getegid()];
    own.iter().chain(&groups).any(|own| own.as_raw() == group)
}

/// Does not follow links, and does not block, as opening a pipe otherwise would.
fn at_once(options: &mut OpenOptions) -> &mut OpenOptions {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    options.custom_flags(i32::try_from(flags).expect("the flag is a small bit"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn read(file: &SecretFile) -> Option<String> {
        let read = file.read(false).unwrap();
        read.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn file_is_private_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = SecretFile::new(&folder.path().join("secret"));
        assert_eq!(read(&file), None);
        file.create(&secret("one")).unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
        assert!(file.create(&secret("two")).is_err());
        assert_eq!(read(&file).as_deref(), Some("one"));
        file.delete().unwrap();
        file.delete().unwrap();
        file.create(&secret("two")).unwrap();
        assert_eq!(read(&file).as_deref(), Some("two"));
    }

    #[test]
    fn link_and_file_readable_by_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "known to all, known to all").unwrap();
        let link = SecretFile::new(&folder.path().join("link"));
        symlink(&target, link.path()).unwrap();
        assert!(link.read(false).is_err());
        assert!(SecretFile::new(&target).read(false).is_err());
        // Nor is a file created through a link that leads nowhere.
        let nowhere = SecretFile::new(&folder.path().join("nowhere"));
        symlink(folder.path().join("new"), nowhere.path()).unwrap();
        assert!(nowhere.read(false).is_err());
        assert!(nowhere.create(&secret("one")).is_err());
        assert!(!folder.path().join("new").exists());
    }

    #[test]
    fn anything_but_a_regular_file_is_refused_without_blocking() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = SecretFile::new(&folder.path().join("fifo"));
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            fifo.path(),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        let of = |file: &SecretFile| file.read(true).unwrap_err().to_string();
        assert_eq!(of(&fifo), "it is a pipe: move it away");
        let directory = of(&SecretFile::new(folder.path()));
        assert_eq!(directory, "it is a directory: move it away");
    }

    #[test]
    fn file_readable_by_own_group_is_accepted_only_if_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let file = SecretFile::new(&folder.path().join("password"));
        file.create(&secret("one")).unwrap();
        let set = |mode| fs::set_permissions(file.path(), fs::Permissions::from_mode(mode));
        set(0o660).unwrap();
        let refusal = file.read(false).unwrap_err();
        assert!(OthersMayRead::is_why(&refusal), "{refusal}");
        assert_eq!(file.read(true).unwrap().unwrap().expose(), "one");
        set(0o664).unwrap();
        assert!(file.read(true).is_err());
    }
}
