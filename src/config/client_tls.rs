//! How commands speak TLS to a server: whom they trust, and which certificate they present.

use std::path::{self, Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::SettingsConflict;

/// The certificate that a command presents.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Target")]
pub struct ClientCertArgs {
    /// A PEM file with the certificate to present to a server that asks for one (its --tls-client-ca), followed by those
    /// of intermediate authorities.
    #[arg(long, env, value_name = "FILE")]
    client_cert: Option<PathBuf>,

    /// A PEM file with the private key of --client-cert, which other users must not be able to read.
    #[arg(long, env, value_name = "FILE")]
    client_key: Option<PathBuf>,
}

/// Whom a command trusts, and the certificate that it presents.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Target")]
pub struct ClientTlsArgs {
    /// A PEM file with the certificate authorities to trust for an https:// server, instead of this machine's.
    #[arg(long, env, value_name = "FILE")]
    server_ca: Option<PathBuf>,

    #[command(flatten)]
    certificate: ClientCertArgs,
}

/// The files with which a command speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTls {
    /// The authorities to trust; `None`: those of this machine.
    pub server_ca: Option<PathBuf>,
    /// The certificate to present, and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl ClientCertArgs {
    /// The files of the certificate and its key.
    ///
    /// # Errors
    /// There is only one of them.
    pub fn files(&self) -> Result<Option<(PathBuf, PathBuf)>, SettingsConflict> {
        let needs = |setting, needed| Err(SettingsConflict::Missing { setting, needed });
        match (&self.client_cert, &self.client_key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate.clone(), key.clone()))),
            (Some(_), None) => needs("client-cert", "client-key"),
            (None, Some(_)) => needs("client-key", "client-cert"),
            (None, None) => Ok(None),
        }
    }
}

impl ClientTlsArgs {
    /// The files that are given, or else those of a stored login.
    ///
    /// # Errors
    /// A certificate has no key, or a key no certificate.
    pub fn files(&self, stored: Option<&ClientTls>) -> Result<ClientTls, SettingsConflict> {
        let stored = stored.cloned().unwrap_or_default();
        Ok(ClientTls {
            server_ca: self.server_ca.clone().or(stored.server_ca),
            certificate: self.certificate.files()?.or(stored.certificate),
        })
    }
}

impl ClientTls {
    /// Whether no file is named.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The same files, found from any folder.
    #[must_use]
    pub fn absolute(&self) -> Self {
        // Fails for an empty path alone.
        let absolute = |path: &Path| path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let pair = self.certificate.as_ref();
        Self {
            server_ca: self.server_ca.as_deref().map(absolute),
            certificate: pair.map(|(certificate, key)| (absolute(certificate), absolute(key))),
        }
    }
}
