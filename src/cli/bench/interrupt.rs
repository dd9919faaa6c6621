//! Ctrl-C: what was begun is ended in order, so that nothing is left behind.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use crate::cli::failure::Failure;

/// Whether somebody wants an end.
#[derive(Clone, Debug)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on, on a thread of its own.
    pub(super) fn listen() -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::failed(format!("cannot listen for signals: {error}"));
        let came = Self(Arc::new(AtomicBool::new(false)));
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let (mut interrupt, mut terminate) = {
            let _here = runtime.enter();
            let of = |kind| signal(kind).map_err(failed);
            (of(SignalKind::interrupt())?, of(SignalKind::terminate())?)
        };
        let told = came.clone();
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            told.0.store(true, Relaxed);
        });
        Ok(came)
    }

    /// Whether it came.
    pub(super) fn came(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// A failure where it came.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.came() {
            return Err(Failure::failed(
                "interrupted: nothing was measured to its end",
            ));
        }
        Ok(())
    }
}
