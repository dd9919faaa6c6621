//! How the server handles signals.

use std::{io, process, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

use super::super::{exit_code::ExitCode, logging::LogQueue};

/// How long a second signal waits for its line in the log.
const LAST_FLUSH: Duration = Duration::from_millis(100);

/// Completes on a signal to stop. A second one ends the process at once, which is safe for the store.
pub(super) fn stop(log: LogQueue) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    Ok(async move {
        // Not within the macro, which does not await what it does not log.
        let signal = next().await;
        tracing::info!("stopping on {signal}");
        tokio::spawn(async move {
            let signal = next().await;
            tracing::warn!("ending at once on a second signal, {signal}");
            log.flush(LAST_FLUSH);
            process::exit(ExitCode::Failed.number().into());
        });
    })
}

/// On SIGHUP, reloads the TLS certificate and opens the audit sink again, if there are any. Ignores other signals that end a process by default, and that
/// people send for other purposes: to reload settings, reopen a log or print counts. A closing terminal sends SIGHUP as
/// well.
pub(super) fn handle_others(reload: &[Arc<Notify>]) -> io::Result<()> {
    for (kind, name) in [
        (SignalKind::hangup(), "SIGHUP"),
        (SignalKind::user_defined1(), "SIGUSR1"),
        (SignalKind::user_defined2(), "SIGUSR2"),
    ] {
        let reload = if kind == SignalKind::hangup() {
            reload.to_vec()
        } else {
            Vec::new()
        };
        tokio::spawn(handle(signal(kind)?, name, reload));
    }
    Ok(())
}

async fn handle(mut signals: Signal, name: &str, reload: Vec<Arc<Notify>>) {
    while signals.recv().await.is_some() {
        for reload in &reload {
            reload.notify_one();
        }
        if reload.is_empty() {
            tracing::info!(
                "{name} is ignored: settings are only read at the start, and the log goes to stderr"
            );
        }
    }
}
