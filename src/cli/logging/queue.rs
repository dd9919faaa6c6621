//! Lines on their way to stderr: a queue that is bounded in bytes, and that one thread writes out.
//!
//! Whoever logs never waits. When the reader of stderr is slow or gone, lines are dropped and counted, and once
//! it reads again it is told how many. tracing-appender's non-blocking writer would do the first half, but its
//! bound is a number of lines, and its guard prints to stderr by itself: with nobody there that is a panic, with
//! a full pipe an end that never comes.

use std::{
    borrow::Cow,
    io::{self, ErrorKind, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use memchr::{memchr, memchr_iter, memrchr};
use tracing_subscriber::fmt::MakeWriter;

use crate::{domain::token_search, metrics::Metrics};

/// Most bytes that wait; as many may be being written.
const MAX_QUEUED_BYTES: usize = 1024 * 1024;
/// Room for a backtrace, which is one line, too.
pub(super) const MAX_LINE_BYTES: usize = 32 * 1024;
/// A pipe takes so much as a whole (POSIX's `PIPE_BUF` on Linux): lines of several writers do not mix.
const MAX_WRITE_BYTES: usize = 4096;
/// How long the first line waits for others, with which it is written at once: to wake the thread and to write
/// for each line by itself would cost a request more than its whole line.
const LINGER: Duration = Duration::from_millis(5);
/// So much is not waited for any more.
const PLENTY_BYTES: usize = 64 * 1024;
/// How soon a descriptor that another process has made non-blocking is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// The queue. Clones share it.
#[derive(Clone)]
pub(in crate::cli) struct Lines(Arc<Queue>);

struct Queue {
    state: Mutex<State>,
    has_lines: Condvar,
    is_idle: Condvar,
    metrics: Metrics,
    /// Who writes, and has room always: it tells of what was dropped.
    writer: OnceLock<ThreadId>,
}

#[derive(Default)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    is_writing: bool,
    /// Somebody waits for the lines to be written.
    is_urgent: bool,
    /// How many lines were dropped since somebody was told.
    dropped: u64,
}

impl Lines {
    /// An empty queue, which counts what it drops.
    pub(super) fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Queue {
            state: Mutex::default(),
            has_lines: Condvar::new(),
            is_idle: Condvar::new(),
            metrics,
            writer: OnceLock::new(),
        }))
    }

    /// Adds whole lines, or drops them where there is no room.
    pub(in crate::cli) fn push(&self, lines: &[u8]) {
        let lines = token_search::redact(lines);
        let lines = cut(&lines);
        let mut state = self.lock();
        let is_full = state.waiting.len() + lines.len() > MAX_QUEUED_BYTES;
        if is_full && self.0.writer.get() != Some(&thread::current().id()) {
            self.drop_lines(&mut state, count(&lines));
        } else {
            let before = state.waiting.len();
            state.waiting.extend_from_slice(&lines);
            if before == 0 || (before < PLENTY_BYTES && state.waiting.len() >= PLENTY_BYTES) {
                self.0.has_lines.notify_one();
            }
        }
    }

    /// Waits until all is written, for at most `time`.
    pub(in crate::cli) fn flush(&self, time: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        let mut state = self.lock();
        state.is_urgent = true;
        self.0.has_lines.notify_one();
        drop(self.0.is_idle.wait_timeout_while(state, time, is_busy));
    }

    /// Writes what is there, once something is, or returns after `time`. How many lines had been dropped before
    /// and are to be told, which is none while nobody can hear it.
    pub(super) fn write_next(&self, out: &mut Output<impl Write>, time: Duration) -> u64 {
        let is_empty = |state: &mut State| state.waiting.is_empty();
        let mut state = self.lock();
        // Only now: what the last call made its caller tell is there, too.
        state.is_writing = false;
        self.0.is_idle.notify_all();
        let waited = self.0.has_lines.wait_timeout_while(state, time, is_empty);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() {
            return 0;
        }
        let may_linger = |state: &mut State| !state.is_urgent && state.waiting.len() < PLENTY_BYTES;
        let lingered = self
            .0
            .has_lines
            .wait_timeout_while(state, LINGER, may_linger);
        let (mut state, _) = lingered.unwrap_or_else(PoisonError::into_inner);
        state.is_urgent = false;
        let lines = mem::take(&mut state.waiting);
        self.0.writer.get_or_init(|| thread::current().id());
        let mut dropped = mem::take(&mut state.dropped);
        state.is_writing = true;
        drop(state);
        let unwritten = out.write(&lines);
        let mut state = self.lock();
        if !unwritten.is_empty() {
            state.dropped += mem::take(&mut dropped);
            self.drop_lines(&mut state, count(unwritten));
        }
        dropped
    }

    fn drop_lines(&self, state: &mut State, lines: u64) {
        state.dropped += lines;
        self.0.metrics.log_lines_dropped(lines);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record comes as one write.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Where the lines go.
pub(super) struct Output<W> {
    out: W,
    /// A failure has cut a line.
    in_line: bool,
}

impl<W: Write> Output<W> {
    pub(super) const fn new(out: W) -> Self {
        Self {
            out,
            in_line: false,
        }
    }

    /// Writes whole lines, and gives back what could not be written.
    fn write<'a>(&mut self, mut lines: &'a [u8]) -> &'a [u8] {
        if self.in_line && self.try_write(b"\n").is_ok() {
            self.in_line = false;
        }
        while let Some(piece) = first_piece(lines) {
            match self.try_write(piece) {
                Ok(0) => break,
                Ok(written) => {
                    self.in_line = piece[written - 1] != b'\n';
                    lines = &lines[written..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
                Err(_) => break,
            }
        }
        lines
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }
}

/// As many whole lines as are written at once, or one that is longer.
fn first_piece(lines: &[u8]) -> Option<&[u8]> {
    let within = &lines[..lines.len().min(MAX_WRITE_BYTES)];
    let end = memrchr(b'\n', within).or_else(|| memchr(b'\n', lines))?;
    Some(&lines[..=end])
}

fn cut(line: &[u8]) -> Cow<'_, [u8]> {
    const MARK: &[u8] = b" [cut]\n";
    if line.len() <= MAX_LINE_BYTES {
        return Cow::Borrowed(line);
    }
    let mut end = MAX_LINE_BYTES - MARK.len();
    // Not within a character.
    while line[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    Cow::Owned([&line[..end], MARK].concat())
}

fn count(lines: &[u8]) -> u64 {
    let count = memchr_iter(b'\n', lines).count();
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
