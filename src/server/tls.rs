//! The server's certificate and key, and the authorities of its clients: PEM files that are read and checked.

mod pem_files;
mod validity;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Notify;
use tokio_rustls::rustls::{
    self, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::CertifiedKey,
};

pub use self::pem_files::{read_certificates, read_key};
pub(super) use self::validity::{Validity, ValidityState};

/// Where the certificate is, and what is asked of peers.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// PEM file of the certificate, followed by those of the authorities between it and the root.
    pub certificate: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
    /// PEM file of the authorities of client certificates, which every peer must then present.
    pub client_ca: Option<PathBuf>,
    /// Notified to read the files again at once.
    pub reload: Arc<Notify>,
}

impl TlsOptions {
    /// Checks that the files can be used.
    pub fn check(&self) -> Result<(), TlsError> {
        self.load().map(drop)
    }

    pub(super) fn load(&self) -> Result<Loaded, TlsError> {
        let chain = read_certificates(&self.certificate)?;
        let key = read_key(&self.key)?;
        let validity = Validity::of(&chain[0]);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Rustls)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                builder.with_client_cert_verifier(client_verifier(path, Arc::clone(&provider))?)
            }
        };
        let position = position_of(&key, &chain, &provider);
        let mut config =
            builder
                .with_single_cert(chain, key)
                .map_err(|error| match (error, position) {
                    (rustls::Error::InconsistentKeys(_), Some(position)) => TlsError::Order {
                        certificate: self.certificate.clone(),
                        position,
                    },
                    (rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch), None) => {
                        TlsError::Mismatch {
                            key: self.key.clone(),
                            certificate: self.certificate.clone(),
                        }
                    }
                    (error, _) => TlsError::Rustls(error),
                })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if self.client_ca.is_some() {
            // A resumed session would not check again whether the client's certificate has expired.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Loaded {
            config: Arc::new(config),
            validity,
        })
    }
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is not there, or not for us.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key is no secret.
    #[error(
        "the private key {} has mode {mode:o}: other users can read or write it; chmod it to 600, or to 640 for a group",
        path.display()
    )]
    OpenKey {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file has something else in it, or nothing.
    #[error("{} contains no {what} in PEM format", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
    },
    /// There is nobody to ask for the passphrase.
    #[error("the private key {} is encrypted: decrypt it with `openssl pkey`", .0.display())]
    EncryptedKey(PathBuf),
    /// Not PEM.
    #[error("{} is damaged: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: pem::Error,
    },
    /// Two files that do not belong together.
    #[error("the private key {} is not that of the certificate {}", key.display(), certificate.display())]
    Mismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// The authorities come before the server itself.
    #[error(
        "{}: the certificate of the private key is number {position} in the file, and must be the first, followed by \
         those of intermediate authorities",
        certificate.display()
    )]
    Order {
        /// The file of the certificate.
        certificate: PathBuf,
        /// From 1.
        position: usize,
    },
    /// An authority of clients' certificates that cannot be used.
    #[error("{} contains a certificate that cannot be used: {reason}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        reason: String,
    },
    /// A certificate or key that rustls cannot use.
    #[error("the certificate or its key cannot be used: {0}")]
    Rustls(rustls::Error),
}

/// Which certificate of the chain is that of the key, from 1.
fn position_of(
    key: &PrivateKeyDer<'static>,
    chain: &[CertificateDer<'static>],
    provider: &CryptoProvider,
) -> Option<usize> {
    let fits = |certificate: &CertificateDer<'static>| {
        let alone = vec![certificate.clone()];
        CertifiedKey::from_der(alone, key.clone_key(), provider)
            .is_ok_and(|pair| pair.keys_match().is_ok())
    };
    chain.iter().position(fits).map(|index| index + 1)
}

fn client_verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let unusable = |reason: &dyn fmt::Display| TlsError::ClientCa {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unusable(&error))
}

/// What the files give.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// `None`: it cannot be read, though rustls could use the certificate.
    pub(super) validity: Option<Validity>,
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use rcgen::{KeyPair, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    /// Options whose files hold a certificate and its key.
    fn options(folder: &TempDir) -> TlsOptions {
        let issued = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let options = TlsOptions {
            certificate: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
            client_ca: None,
            reload: Arc::default(),
        };
        write(&options.certificate, &issued.cert.pem(), 0o644);
        write(&options.key, &issued.signing_key.serialize_pem(), 0o600);
        options
    }

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_that_cannot_be_used_are_refused_by_name() {
        const ENCRYPTED: &str =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIC\n-----END ENCRYPTED PRIVATE KEY-----\n";
        const OLD_ENCRYPTED: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
            DEK-Info: AES-128-CBC,00\n\nMIIC\n-----END RSA PRIVATE KEY-----\n";
        const NO_BASE64: &str = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let folder = TempDir::new().unwrap();
        let good = options(&folder);
        good.check().unwrap();
        let key = fs::read_to_string(&good.key).unwrap();
        let other_key = KeyPair::generate().unwrap().serialize_pem();
        for (name, text, expected) in [
            ("cert.pem", "", "cert.pem contains no certificate"),
            ("cert.pem", &*key, "cert.pem contains no certificate"),
            ("cert.pem", NO_BASE64, "cert.pem is damaged"),
            ("key.pem", "", "key.pem contains no private key"),
            ("key.pem", ENCRYPTED, "key.pem is encrypted"),
            ("key.pem", OLD_ENCRYPTED, "key.pem is encrypted"),
            (
                "key.pem",
                &*other_key,
                "key.pem is not that of the certificate",
            ),
            ("ca.pem", "", "ca.pem contains no certificate"),
        ] {
            let mut bad = options(&folder);
            bad.client_ca = (name == "ca.pem").then(|| folder.path().join(name));
            write(&folder.path().join(name), text, 0o600);
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let reversed = options(&folder);
        let certificate = fs::read_to_string(&reversed.certificate).unwrap();
        let authority = generate_simple_self_signed(["authority".to_owned()]).unwrap();
        write(
            &reversed.certificate,
            &(authority.cert.pem() + &certificate),
            0o644,
        );
        let error = reversed.check().unwrap_err().to_string();
        assert!(error.contains("number 2 in the file"), "{error}");
        let mut folder_as_key = options(&folder);
        folder_as_key.key = folder.path().to_owned();
        let error = folder_as_key.check().unwrap_err().to_string();
        assert!(error.ends_with("not a regular file"), "{error}");
        let mut missing = options(&folder);
        missing.certificate = "/nowhere/at/all".into();
        let error = missing.check().unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read /nowhere/at/all: "),
            "{error}"
        );
    }

    #[test]
    fn key_that_other_users_can_read_is_refused() {
        let folder = TempDir::new().unwrap();
        let options = options(&folder);
        for (mode, is_accepted) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o644, false),
            (0o604, false),
            (0o660, false),
            (0o602, false),
        ] {
            fs::set_permissions(&options.key, fs::Permissions::from_mode(mode)).unwrap();
            let checked = options.check();
            assert_eq!(checked.is_ok(), is_accepted, "{mode:o}");
            if let Err(error) = checked {
                assert!(
                    error.to_string().contains(&format!("mode {mode:o}")),
                    "{error}"
                );
            }
        }
    }
}
