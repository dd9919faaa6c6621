//! What systemd is told, if it started the server and asks for it (`sd_notify(3)`).

use std::{convert::Infallible, time::Duration};

use sd_notify::NotifyState;
use tokio::time::sleep;

/// How often systemd is asked to go on waiting for the start, and for how long each time. A migration of a large
/// database takes longer than its default of 90 seconds.
const EXTEND_EVERY: Duration = Duration::from_secs(10);
const EXTEND_BY_MICROS: u32 = 60_000_000;

/// Asks for more time to start, for ever.
pub(super) async fn starting() -> Infallible {
    loop {
        notify(NotifyState::ExtendTimeoutUsec(EXTEND_BY_MICROS));
        sleep(EXTEND_EVERY).await;
    }
}

pub(super) fn ready() {
    notify(NotifyState::Ready);
}

pub(super) fn stopping() {
    notify(NotifyState::Stopping);
}

/// Tells that the server is alive, twice within the time that systemd gives it, for ever. On a thread that serves
/// requests: if those hang, so does this.
pub(super) async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        notify(NotifyState::Watchdog);
        sleep(limit / 2).await;
    }
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd (NOTIFY_SOCKET) cannot be notified");
    }
}
