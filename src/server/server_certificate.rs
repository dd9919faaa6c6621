//! The certificate in use, which is read again when its files change.
//!
//! Connections that are open keep the certificate that they began with. If the files cannot be used, that is logged and
//! the certificate in use stays.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    task,
    time::{Instant, sleep},
};
use tokio_rustls::rustls::ServerConfig;

use super::tls::{TlsError, TlsOptions};
use crate::{app::App, domain::time::Timestamp};

/// How often the files are looked at. What has been the same twice is read: certificate and key are two files, and
/// one is replaced after the other.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often an expired certificate is warned of.
const WARN_INTERVAL: Duration = Duration::from_hours(24);

/// The certificate in use.
pub(super) struct ServerCertificate {
    options: TlsOptions,
    current: RwLock<Arc<ServerConfig>>,
    loaded_from: Vec<Option<FileVersion>>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerCertificate")
            .field(&self.options)
            .finish()
    }
}

impl ServerCertificate {
    pub(super) fn load(options: &TlsOptions, now: Timestamp) -> Result<Arc<Self>, TlsError> {
        let loaded_from = versions(options);
        let loaded = options.load()?;
        loaded.warn_unless_valid(now);
        Ok(Arc::new(Self {
            options: options.clone(),
            current: RwLock::new(loaded.config),
            loaded_from,
        }))
    }

    /// For the next connection.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again whenever they change or it is asked for, for ever.
    pub(super) async fn keep_current(self: &Arc<Self>, app: &App) {
        let mut read = self.loaded_from.clone();
        let mut seen = read.clone();
        let mut checked_at = Instant::now();
        loop {
            let is_asked = tokio::select! {
                () = self.options.reload.notified() => true,
                () = sleep(POLL_INTERVAL) => false,
            };
            let this = Arc::clone(self);
            let Ok(found) = task::spawn_blocking(move || versions(&this.options)).await else {
                continue;
            };
            let is_settled = found == seen;
            seen.clone_from(&found);
            let is_due = checked_at.elapsed() >= WARN_INTERVAL;
            if is_asked || is_due || (is_settled && found != read) {
                read = found;
                checked_at = Instant::now();
                let (this, now) = (Arc::clone(self), app.now());
                drop(task::spawn_blocking(move || this.reload(now)).await);
            }
        }
    }

    fn reload(&self, now: Timestamp) {
        match self.options.load() {
            Ok(loaded) => {
                loaded.warn_unless_valid(now);
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = loaded.config;
                let expires = loaded.lifetime.map(|lifetime| lifetime.not_after);
                tracing::info!(
                    expires = expires.map(tracing::field::display),
                    "the TLS certificate was read again"
                );
            }
            Err(error) => {
                tracing::error!(%error, "the TLS certificate cannot be read again; the old one stays in use");
            }
        }
    }
}

/// Changes when a file is replaced, written, or gets other permissions.
fn versions(options: &TlsOptions) -> Vec<Option<FileVersion>> {
    [
        Some(&options.certificate),
        Some(&options.key),
        options.client_ca.as_ref(),
    ]
    .into_iter()
    .flatten()
    .map(|path| FileVersion::of(path).ok())
    .collect()
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FileVersion {
    device: u64,
    inode: u64,
    bytes: u64,
    changed_at: (i64, i64),
}

impl FileVersion {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            // Of content and permissions alike.
            changed_at: (found.ctime(), found.ctime_nsec()),
        })
    }
}
