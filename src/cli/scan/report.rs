//! Collects what the threads of a search find: prints it, counts it, and keeps it for the revocation.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Display,
    io::{self, IsTerminal},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::domain::{id::TokenId, presented_token::PresentedToken, token_text::TokenText};

use super::{
    super::output,
    finding::{Finding, Source},
};

/// Shared by all threads of a search.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    /// Whether the tokens are kept, to be revoked.
    keep: bool,
    /// Tokens that are not reported.
    ignored: HashSet<TokenId>,
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
    leaked: BTreeMap<(TokenId, [u8; 32]), PresentedToken>,
}

/// The counts at the end of a search.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    /// Tokens found, each location counted.
    pub(super) found: u64,
    /// Files or objects that could not be searched.
    pub(super) unreadable: u64,
    /// Ignored tokens found.
    ignored: u64,
    /// Parts that are encrypted, or compressed in an unsupported way.
    not_unpacked: u64,
    /// The number of files, if some were excluded.
    of_files: Option<u64>,
}

impl Report {
    /// `unit` is what the summary counts.
    pub(super) fn new(
        json: bool,
        keep: bool,
        ignored: HashSet<TokenId>,
        unit: &'static str,
    ) -> Self {
        // Even if stdout is a file, somebody may be watching the terminal.
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
            ignored,
            unit,
            progress,
            bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The counts stay correct even if a thread has panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes searched.
    pub(super) fn read(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.inc(bytes);
    }

    /// Counts a file or object.
    pub(super) fn begin_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a token. Returns whether to report where it is.
    pub(super) fn found(&self, token: &TokenText) -> bool {
        let mut state = self.state();
        if self.ignored.contains(&token.id()) {
            state.summary.ignored += 1;
            return false;
        }
        state.ids.insert(token.id());
        if self.keep {
            let leaked = PresentedToken::from(token);
            let key = (leaked.id(), *leaked.hash().as_bytes());
            state.leaked.insert(key, leaked);
        }
        true
    }

    /// Prints a finding. Fails if the output cannot be written.
    pub(super) fn print(&self, source: &Source, finding: &Finding) -> io::Result<()> {
        let print = || {
            if self.json {
                output::exact(&finding.json(source)?)
            } else {
                output::line(&finding.show(source))
            }
        };
        let mut state = self.state();
        state.summary.found += 1;
        self.progress.suspend(print)
    }

    /// Counts a part that is encrypted, or compressed in an unsupported way.
    pub(super) fn not_unpacked(&self) {
        self.state().summary.not_unpacked += 1;
    }

    /// Sets the number of files if some are excluded.
    pub(super) fn excluding(&self, of_files: u64) {
        self.state().summary.of_files = Some(of_files);
    }

    /// Reports that something could not be searched. The name must be printable.
    pub(super) fn unreadable(&self, name: impl Display, error: impl Display) {
        let mut state = self.state();
        state.summary.unreadable += 1;
        self.warn_locked(&format!("cannot search {name}: {error}"));
        drop(state);
    }

    /// Prints a warning.
    pub(super) fn warn(&self, text: &str) {
        let state = self.state();
        self.warn_locked(text);
        drop(state);
    }

    fn warn_locked(&self, text: &str) {
        self.progress
            .suspend(|| output::hint(&format!("hallpass: {text}")));
    }

    /// The tokens found so far, the oldest first.
    pub(super) fn leaked(&self) -> Vec<PresentedToken> {
        self.state().leaked.values().copied().collect()
    }

    /// Prints the summary.
    pub(super) fn finish(self) -> Summary {
        self.progress.finish_and_clear();
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let summary = state.summary;
        let searched = HumanCount(self.files.into_inner()).to_string();
        let of_files = summary
            .of_files
            .map(|all| format!(" of {}", HumanCount(all)));
        let mut text = format!(
            "tokens found: {}, in places: {}; searched: {searched}{} {}, {}",
            HumanCount(u64::try_from(state.ids.len()).unwrap_or(u64::MAX)),
            HumanCount(summary.found),
            of_files.unwrap_or_default(),
            self.unit,
            HumanBytes(self.bytes.into_inner()),
        );
        for (what, count) in [
            ("ignored", summary.ignored),
            ("not unpacked", summary.not_unpacked),
            ("not searched", summary.unreadable),
        ] {
            if count > 0 {
                text = format!("{text}; {what}: {}", HumanCount(count));
            }
        }
        output::hint(&text);
        summary
    }
}
