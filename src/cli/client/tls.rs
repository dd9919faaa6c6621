//! The TLS of commands: whom they trust, and which certificate they present.

use std::{error::Error, io, iter, path::PathBuf, sync::Arc};

use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, ConfigBuilder, InconsistentKeys,
    RootCertStore, client::WantsClientCert, crypto::ring,
};

use crate::{
    cli::{exit_code::ExitCode, failure::Failure},
    config::client_tls::ClientTls,
    server::{TlsError, read_certificates, read_key},
};

/// Trusts the authorities of `--server-ca`, or else those of `SSL_CERT_FILE` or of this machine.
pub(in crate::cli) fn config(tls: &ClientTls) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &tls.server_ca {
        for certificate in read_certificates(path)? {
            roots.add(certificate).map_err(|error| {
                let path = path.display();
                Failure::failed(format!(
                    "{path} contains a certificate that cannot be used: {error}"
                ))
            })?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        let problem = "this machine trusts no certificate authority: install its ca-certificates, \
             or name a file with --server-ca or SSL_CERT_FILE";
        return Err(Failure::new(ExitCode::Unreachable, problem));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Rustls)?;
    let builder = builder.with_root_certificates(roots);
    present(builder, tls.certificate.as_ref()).map_err(Failure::from)
}

/// Has the client present a certificate, if there is one.
pub(in crate::cli) fn present(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    files: Option<&(PathBuf, PathBuf)>,
) -> Result<ClientConfig, TlsError> {
    let Some((certificate, key)) = files else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, private_key) = (read_certificates(certificate)?, read_key(key)?);
    builder
        .with_client_auth_cert(chain, private_key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
                key: key.clone(),
                certificate: certificate.clone(),
            },
            error => TlsError::Rustls(error),
        })
}

/// The error of TLS in the chain of another one.
pub(super) fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    iter::successors(Some(error), |error| within(*error)).find_map(|error| error.downcast_ref())
}

fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        // `source` would skip the error in it.
        Some(error) => error.get_ref().map(|inner| inner as _),
        None => error.source(),
    }
}

/// Whether the server has refused the handshake.
pub(super) const fn is_refusal(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::AlertReceived(_))
}

/// What to do about an error, where that is known.
pub(super) const fn advice(error: &rustls::Error) -> Option<&'static str> {
    use AlertDescription::{
        BadCertificate, CertificateExpired, CertificateRequired, CertificateUnknown, DecryptError,
        HandshakeFailure, UnknownCA,
    };
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => Some(
            "If your own authority has issued the server's certificate, name its file with --server-ca.",
        ),
        rustls::Error::AlertReceived(CertificateRequired) => {
            Some("The server asks for a certificate: give --client-cert and --client-key.")
        }
        rustls::Error::AlertReceived(
            UnknownCA | DecryptError | BadCertificate | CertificateExpired | CertificateUnknown
            | HandshakeFailure,
        ) => Some("The server may want another certificate than --client-cert: its log says why."),
        _ => None,
    }
}
