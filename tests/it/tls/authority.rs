//! A certificate authority, and what it issues.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use hallpass::server::TlsOptions;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    version::TLS13,
};

/// An authority with a folder for its files.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, in PEM format.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("authority")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
            folder: TempDir::new().unwrap(),
        }
    }

    /// For a server on this machine, or a client of that name.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_with(name, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the files of a server in place, one after the other.
    pub(crate) fn install(&self, issued: &Issued) {
        replace(&self.path("cert.pem"), &issued.certificate);
        replace(&self.path("key.pem"), &issued.key);
    }

    /// Writes the files of a client, and returns their paths.
    pub(crate) fn write(&self, issued: &Issued) -> [PathBuf; 2] {
        let paths = [self.path("client.pem"), self.path("client-key.pem")];
        replace(&paths[0], &issued.certificate);
        replace(&paths[1], &issued.key);
        paths
    }

    /// The file of the authority's own certificate.
    pub(crate) fn root(&self) -> PathBuf {
        let path = self.path("root.pem");
        fs::write(&path, self.issuer.pem()).unwrap();
        path
    }

    /// A server's options, with a certificate of the name `server`.
    pub(crate) fn server(&self) -> TlsOptions {
        self.install(&self.issue("server"));
        TlsOptions {
            certificate: self.path("cert.pem"),
            key: self.path("key.pem"),
            client_ca: None,
            reload: Arc::default(),
        }
    }

    /// A client that trusts this authority, with a certificate if one is given.
    pub(crate) fn client(&self, certificate: Option<&Issued>) -> ClientConfig {
        client(&self.root(), certificate)
    }
}

/// A client that trusts the certificates in the file `roots`.
pub(crate) fn client(roots: &Path, certificate: Option<&Issued>) -> ClientConfig {
    let mut trusted = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(roots).unwrap() {
        trusted.add(root.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(trusted);
    match certificate {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let chain = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![chain], key).unwrap()
        }
    }
}

/// Replaces a file in one step. Only its owner can read it.
pub(crate) fn replace(path: &Path, content: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, content).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&draft, path).unwrap();
}
