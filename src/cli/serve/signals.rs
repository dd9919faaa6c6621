//! What the server does about signals.

use std::{io, process, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::super::{exit_code::ExitCode, logging::Lines};

/// How long a second signal waits for its line in the log.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Completes when the process is told to stop. Told once more, the process ends at once: whoever asks twice
/// does not want to wait, and the store is safe at any moment.
pub(super) fn stop(log: Lines) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    Ok(async move {
        // Not within the macro: what is not logged is not awaited.
        let signal = next().await;
        tracing::info!("stopping on {signal}");
        tokio::spawn(async move {
            let signal = next().await;
            tracing::warn!("ending at once on a second signal, {signal}");
            log.flush(LAST_WORD);
            process::exit(ExitCode::Failed.number().into());
        });
    })
}

/// Keeps alive a server that is sent what would end it by default, and that people send for other ends: to have
/// settings read again, a log opened again, counts printed. A terminal that goes sends SIGHUP, too.
pub(super) fn ignore_others() -> io::Result<()> {
    for (kind, name) in [
        (SignalKind::hangup(), "SIGHUP"),
        (SignalKind::user_defined1(), "SIGUSR1"),
        (SignalKind::user_defined2(), "SIGUSR2"),
    ] {
        let signals = signal(kind)?;
        tokio::spawn(tell(signals, name));
    }
    Ok(())
}

async fn tell(mut signals: Signal, name: &str) {
    while signals.recv().await.is_some() {
        tracing::info!(
            "{name} is ignored: settings are read at the start alone, and the log goes to stderr"
        );
    }
}
