//! The file that holds the first admin's random password until it is changed.
//!
//! It is created exclusively with mode 0600, without following links, and is synced before anything depends on it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{
    domain::{random, secret::Secret},
    store::file_type_name,
};

/// Read limit; longer than any password may be.
const MAX_BYTES: u64 = 2_048;

/// The file exists, but others may have read the password.
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
pub(super) struct PasswordFile(PathBuf);

impl PasswordFile {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The password in the file, which is created if it does not exist.
    ///
    /// An existing file must belong to this process's user, and nobody else may have access. With `or_group`, one of
    /// the process's groups may, which is how a Kubernetes volume with an `fsGroup` looks.
    pub(super) fn read_or_create(&self, or_group: bool) -> io::Result<Secret> {
        match self.read(or_group) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(),
            other => other,
        }
    }

    /// Deletes the file if it exists.
    pub(super) fn delete(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Dry run of [`Self::read_or_create`]: fails if it would refuse an existing file.
    pub(super) fn check(&self, or_group: bool) -> io::Result<()> {
        match self.open(or_group) {
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

    fn read(&self, or_group: bool) -> io::Result<Secret> {
        let mut text = String::new();
        self.open(or_group)?
            .take(MAX_BYTES)
            .read_to_string(&mut text)?;
        let password = text.trim_end().to_owned();
        if password.is_empty() {
            // The process crashed between creating and writing it. The file is ours and empty, so create it again.
            self.delete()?;
            return self.create();
        }
        Ok(Secret::new(password))
    }

    fn create(&self) -> io::Result<Secret> {
        let password = generate();
        let mut options = OpenOptions::new();
        let mut file = at_once(options.write(true).create_new(true).mode(0o600)).open(&self.0)?;
        file.write_all(password.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        let folder = match self.0.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()?;
        Ok(password)
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
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn file_is_private_and_reused_until_it_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let file = PasswordFile::new(&folder.path().join("password"));
        let first = file.read_or_create(false).unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(file.read_or_create(false).unwrap().expose(), first.expose());
        file.delete().unwrap();
        file.delete().unwrap();
        assert_ne!(file.read_or_create(false).unwrap().expose(), first.expose());
    }

    #[test]
    fn empty_file_left_by_a_crash_is_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = PasswordFile::new(&folder.path().join("password"));
        file.create().unwrap();
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(file.path())
            .unwrap();
        assert_eq!(file.read_or_create(false).unwrap().expose().len(), 27);
    }

    #[test]
    fn link_and_file_readable_by_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "known to all, known to all").unwrap();
        let link = PasswordFile::new(&folder.path().join("link"));
        symlink(&target, link.path()).unwrap();
        assert!(link.read_or_create(false).is_err());
        assert!(PasswordFile::new(&target).read_or_create(false).is_err());
    }

    #[test]
    fn anything_but_a_regular_file_is_refused_without_blocking() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = PasswordFile::new(&folder.path().join("fifo"));
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            fifo.path(),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        let of = |file: &PasswordFile| file.read_or_create(true).unwrap_err().to_string();
        assert_eq!(of(&fifo), "it is a pipe: move it away");
        let directory = of(&PasswordFile::new(folder.path()));
        assert_eq!(directory, "it is a directory: move it away");
    }

    #[test]
    fn file_readable_by_own_group_is_accepted_only_if_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let file = PasswordFile::new(&folder.path().join("password"));
        let password = file.read_or_create(false).unwrap();
        let set = |mode| fs::set_permissions(file.path(), fs::Permissions::from_mode(mode));
        set(0o660).unwrap();
        let refusal = file.read_or_create(false).unwrap_err();
        assert!(OthersMayRead::is_why(&refusal), "{refusal}");
        assert_eq!(
            file.read_or_create(true).unwrap().expose(),
            password.expose()
        );
        set(0o664).unwrap();
        assert!(file.read_or_create(true).is_err());
    }
}
