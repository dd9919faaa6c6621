//! What a search found: printed as it comes from its threads, counted, and kept for the revocation.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    io::{self, IsTerminal},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::{
    app::tokens::LeakedToken,
    domain::{id::TokenId, token_text::TokenText},
};

use super::{
    super::output,
    place::{Finding, Place, Spot, printable},
};

/// Where all threads of a search report to.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    keep: bool,
    unit: &'static str,
    progress: ProgressBar,
    bytes: AtomicU64,
    files: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    summary: Summary,
    ids: BTreeSet<TokenId>,
    leaked: BTreeMap<(TokenId, [u8; 32]), LeakedToken>,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    /// How often a token was found.
    pub(super) found: u64,
    /// How much could not be searched.
    pub(super) unreadable: u64,
}

impl Report {
    /// Prints as JSON or for people; `keep`: what was found is wanted in the end; `unit`: what is searched.
    pub(super) fn new(json: bool, keep: bool, unit: &'static str) -> Self {
        // Whether or not stdout goes to a file, a person waits at the terminal.
        let progress = if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(
                "{spinner} {bytes} searched, {bytes_per_sec}, {elapsed}",
            );
            let bar = ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        } else {
            ProgressBar::hidden()
        };
        Self {
            json,
            keep,
            unit,
            progress,
            bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What was counted stays true, whatever became of the thread that counted it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So much more was searched.
    pub(super) fn read(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.inc(bytes);
    }

    /// One more file, or what stands for one, was begun.
    pub(super) fn begin_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    /// A token was found.
    ///
    /// # Errors
    /// Nobody reads the output.
    pub(super) fn found(&self, place: &Place, spot: Spot, token: &TokenText) -> io::Result<()> {
        let id = token.id().encode();
        let finding = Finding {
            place,
            spot,
            prefix: token.prefix(),
            token_id: id.as_str(),
        };
        let line = if self.json {
            serde_json::to_string(&finding)?
        } else {
            finding.show()
        };
        let mut state = self.state();
        state.summary.found += 1;
        state.ids.insert(token.id());
        if self.keep {
            let leaked = LeakedToken::from(token);
            let key = (leaked.id, *leaked.hash.as_bytes());
            state.leaked.insert(key, leaked);
        }
        self.progress.suspend(|| output::line(&line))
    }

    /// Something could not be searched.
    pub(super) fn unreadable(&self, name: &[u8], error: impl Display) {
        let mut state = self.state();
        state.summary.unreadable += 1;
        self.warn_locked(&format!("cannot search {}: {error}", printable(name)));
        drop(state);
    }

    /// Something that should be known.
    pub(super) fn warn(&self, text: &str) {
        let state = self.state();
        self.warn_locked(text);
        drop(state);
    }

    fn warn_locked(&self, text: &str) {
        self.progress
            .suspend(|| output::hint(&format!("hallpass: {text}")));
    }

    /// Says how it ended. What was found comes in the order of the tokens' births.
    pub(super) fn finish(self) -> (Summary, Vec<LeakedToken>) {
        self.progress.finish_and_clear();
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let Summary { found, unreadable } = state.summary;
        let mut text = format!(
            "tokens found: {}, in places: {}; searched: {} {}, {}",
            HumanCount(u64::try_from(state.ids.len()).unwrap_or(u64::MAX)),
            HumanCount(found),
            HumanCount(self.files.into_inner()),
            self.unit,
            HumanBytes(self.bytes.into_inner()),
        );
        if unreadable > 0 {
            text = format!("{text}; not searched: {}", HumanCount(unreadable));
        }
        output::hint(&text);
        (state.summary, state.leaked.into_values().collect())
    }
}
