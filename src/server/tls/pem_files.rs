//! PEM files with certificates and keys.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use rustix::fs::{Mode, OFlags};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};
use zeroize::Zeroizing;

use super::TlsError;

/// The certificates in a PEM file, at least one.
///
/// # Errors
/// It cannot be read, or contains none.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path, |_| Ok(()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|source| TlsError::Pem {
        path: path.to_owned(),
        source,
    })?;
    if found.is_empty() {
        return Err(TlsError::Missing {
            path: path.to_owned(),
            what: "certificate",
        });
    }
    Ok(found)
}

/// The private key in a PEM file. Other users may not read it. Its group may, as Debian's group `ssl-cert` does.
///
/// # Errors
/// It cannot be read, other users can read it, or it contains no usable key.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    const OTHERS_OR_WRITABLE: u32 = 0o027;
    let text = read(path, |mode| {
        if mode & OTHERS_OR_WRITABLE == 0 {
            return Ok(());
        }
        Err(TlsError::OpenKey {
            path: path.to_owned(),
            mode,
        })
    })?;
    match PrivateKeyDer::from_pem_slice(&text) {
        _ if is_encrypted(&text) => Err(TlsError::EncryptedKey(path.to_owned())),
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(TlsError::Missing {
            path: path.to_owned(),
            what: "private key",
        }),
        Err(source) => Err(TlsError::Pem {
            path: path.to_owned(),
            source,
        }),
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    let contains = |text: &[u8]| memchr::memmem::find(pem, text).is_some();
    contains(b"BEGIN ENCRYPTED PRIVATE KEY") || contains(b"Proc-Type: 4,ENCRYPTED")
}

/// Reads a file, if `check` accepts the permissions of what was opened.
fn read(
    path: &Path,
    check: impl FnOnce(u32) -> Result<(), TlsError>,
) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    const MAX_BYTES: u64 = 1024 * 1024;
    let failed = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    // A pipe in its place would be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(file.map_err(|error| failed(error.into()))?);
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    check(found.mode() & 0o7777)?;
    let mut text = Zeroizing::new(Vec::new());
    file.take(MAX_BYTES)
        .read_to_end(&mut text)
        .map_err(failed)?;
    Ok(text)
}
