//! The certificate in use, which is read again when its files change.
//!
//! Connections that are open keep the certificate that they began with. If the files cannot be used, that is logged and
//! the certificate in use stays.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
    time::Duration,
};

use tokio::{task, time::sleep};
use tokio_rustls::rustls::ServerConfig;

use super::tls::{Loaded, TlsError, TlsOptions, Validity, ValidityState};
use crate::{app::App, domain::time::Timestamp};

/// How often the files are looked at. What has been the same twice is read: certificate and key are two files, and
/// one is replaced after the other.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often a certificate that is not valid for long is warned of, unless more has become of it since.
const WARN_INTERVAL: Duration = Duration::from_hours(24);

/// The certificate in use.
pub(super) struct ServerCertificate {
    options: TlsOptions,
    current: RwLock<Current>,
    loaded_from: Vec<Option<FileVersion>>,
}

struct Current {
    config: Arc<ServerConfig>,
    validity: Option<Validity>,
    /// The last warning about its validity.
    warned: Option<(ValidityState, Timestamp)>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerCertificate")
            .field(&self.options)
            .finish()
    }
}

impl ServerCertificate {
    pub(super) fn load(options: &TlsOptions, app: &App) -> Result<Arc<Self>, TlsError> {
        let loaded_from = versions(options);
        let loaded = options.load()?;
        let this = Self {
            options: options.clone(),
            current: RwLock::new(Current::new(loaded)),
            loaded_from,
        };
        this.write().note_validity(app);
        Ok(Arc::new(this))
    }

    /// For the next connection.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner).config)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Current> {
        self.current.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again whenever they change or it is asked for, for ever.
    pub(super) async fn keep_current(self: &Arc<Self>, app: &App) {
        let mut read = self.loaded_from.clone();
        let mut seen = read.clone();
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
            if is_asked || (is_settled && found != read) {
                read = found;
                let this = Arc::clone(self);
                drop(task::spawn_blocking(move || this.reload()).await);
            }
            self.write().note_validity(app);
        }
    }

    fn reload(&self) {
        match self.options.load() {
            Ok(loaded) => {
                let loaded = Current::new(loaded);
                let expires = loaded.validity.map(|validity| validity.not_after);
                *self.write() = loaded;
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

impl Current {
    fn new(loaded: Loaded) -> Self {
        Self {
            config: loaded.config,
            validity: loaded.validity,
            warned: None,
        }
    }

    /// Warns of a certificate that is not valid for long, once a day and when that becomes worse.
    fn note_validity(&mut self, app: &App) {
        let Some(validity) = self.validity else {
            return;
        };
        let (unix_secs, _) = validity.not_after.to_parts();
        app.metrics().certificate_expiry(unix_secs);
        let now = app.now();
        let state = validity.state(now);
        let is_due = self
            .warned
            .is_none_or(|(warned, at)| warned != state || now.since(at) >= WARN_INTERVAL);
        if is_due {
            self.warned = Some((state, now));
            validity.warn(state);
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
