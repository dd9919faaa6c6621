//! The file that holds the first admin's random password until it is changed.
//!
//! It is made exclusively, for its owner alone, no links followed, and is on the disk before anything
//! depends on it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::domain::{random, secret::Secret};

/// More than a password may have.
const MAX_BYTES: u64 = 2_048;

/// A path, at which the file may or may not be.
#[derive(Debug)]
pub(super) struct PasswordFile(PathBuf);

impl PasswordFile {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The password in the file, which is made if there is none.
    pub(super) fn read_or_create(&self) -> io::Result<Secret> {
        match self.read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(),
            other => other,
        }
    }

    /// Deletes the file, if it is there.
    pub(super) fn delete(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn read(&self) -> io::Result<Secret> {
        let file = no_follow(OpenOptions::new().read(true)).open(&self.0)?;
        let metadata = file.metadata()?;
        let refuse = |problem: &str| Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        if !metadata.is_file() {
            return refuse("it is not a file: move it away");
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
            return refuse("others may read it or it is not ours: delete it and start again");
        }
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        let password = text.trim_end().to_owned();
        if password.is_empty() {
            // A crash between making and writing it. The file is ours and empty, so make it anew.
            self.delete()?;
            return self.create();
        }
        Ok(Secret::new(password))
    }

    fn create(&self) -> io::Result<Secret> {
        let password = generate();
        let mut options = OpenOptions::new();
        let mut file = no_follow(options.write(true).create_new(true).mode(0o600)).open(&self.0)?;
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

fn no_follow(options: &mut OpenOptions) -> &mut OpenOptions {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits();
    options.custom_flags(i32::try_from(flags).expect("the flag is a small bit"))
}

/// 120 random bits in letters and digits that are told apart easily, in groups for the eye.
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
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_file_is_its_owners_alone_and_read_again_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let file = PasswordFile::new(&folder.path().join("password"));
        let first = file.read_or_create().unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(file.read_or_create().unwrap().expose(), first.expose());
        file.delete().unwrap();
        file.delete().unwrap();
        assert_ne!(file.read_or_create().unwrap().expose(), first.expose());
    }

    #[test]
    fn a_crash_before_the_password_was_written_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let file = PasswordFile::new(&folder.path().join("password"));
        file.create().unwrap();
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(file.path())
            .unwrap();
        assert_eq!(file.read_or_create().unwrap().expose().len(), 27);
    }

    #[test]
    fn a_link_and_a_file_that_others_may_read_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "known to all, known to all").unwrap();
        let link = PasswordFile::new(&folder.path().join("link"));
        symlink(&target, link.path()).unwrap();
        assert!(link.read_or_create().is_err());
        assert!(PasswordFile::new(&target).read_or_create().is_err());
    }
}
