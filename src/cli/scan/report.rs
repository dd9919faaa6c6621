//! What a search found: printed as it comes from its threads, counted, and kept for the revocation.

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

/// Where all threads of a search report to.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    keep: bool,
    /// What is not told of.
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

/// How a search ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    /// How often a token was found.
    pub(super) found: u64,
    /// How much could not be searched.
    pub(super) unreadable: u64,
    /// How often a token was found that is ignored.
    ignored: u64,
    /// How many parts are compressed or encrypted in a way that is not unpacked.
    sealed: u64,
    /// How many files there are, where some were left out.
    of_files: Option<u64>,
}

impl Report {
    /// Prints as JSON or for people; `keep`: what was found is wanted in the end; `unit`: what is searched.
    pub(super) fn new(
        json: bool,
        keep: bool,
        ignored: HashSet<TokenId>,
        unit: &'static str,
    ) -> Self {
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
            ignored,
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

    /// A token was found: whether it is to be told where.
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

    /// Tells where one was found.
    ///
    /// # Errors
    /// Nobody reads the output.
    pub(super) fn tell(&self, source: &Source, finding: &Finding) -> io::Result<()> {
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

    /// A part is compressed or encrypted in a way that is not unpacked.
    pub(super) fn sealed(&self) {
        self.state().summary.sealed += 1;
    }

    /// There are so many files, some of which are left out.
    pub(super) fn left_out(&self, of_files: u64) {
        self.state().summary.of_files = Some(of_files);
    }

    /// Something could not be searched; its name is printable.
    pub(super) fn unreadable(&self, name: impl Display, error: impl Display) {
        let mut state = self.state();
        state.summary.unreadable += 1;
        self.warn_locked(&format!("cannot search {name}: {error}"));
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

    /// What was found so far, in the order of the tokens' births.
    pub(super) fn leaked(&self) -> Vec<PresentedToken> {
        self.state().leaked.values().copied().collect()
    }

    /// Says how it ended.
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
            ("not unpacked", summary.sealed),
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
