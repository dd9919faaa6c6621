//! The queue of log lines for stderr: bounded in bytes, and written by one thread.
//!
//! Logging never waits. When the reader of stderr is slow or gone, lines are dropped and counted, and the count is
//! logged once it reads again. tracing-appender's non-blocking writer is bounded in lines instead, and its guard prints
//! to stderr itself: that panics when the reader is gone, and blocks for ever on a full pipe.

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

/// The maximum of queued bytes; as many again may be being written.
const MAX_QUEUED_BYTES: usize = 1024 * 1024;
/// Enough for a backtrace, which is one line.
pub(super) const MAX_LINE_BYTES: usize = 32 * 1024;
/// A pipe takes up to so many bytes atomically (POSIX's `PIPE_BUF` on Linux): lines of several writers do not mix.
const MAX_WRITE_BYTES: usize = 4096;
/// How long the first line waits for others to be written with: waking the thread and writing for every line would cost
/// a request more than its line does.
const LINGER: Duration = Duration::from_millis(5);
/// With so many bytes queued, the thread waits no longer.
const PLENTY_BYTES: usize = 64 * 1024;
/// How soon a write is tried again on a descriptor that another process has made non-blocking.
const RETRY: Duration = Duration::from_millis(10);

/// The queue. Clones share it.
#[derive(Clone)]
pub(in crate::cli) struct LogQueue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    has_lines: Condvar,
    is_idle: Condvar,
    metrics: Metrics,
    /// The thread that writes. It logs how many lines were dropped, so it may exceed the bound.
    writer: OnceLock<ThreadId>,
}

#[derive(Default)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    is_writing: bool,
    /// A flush waits.
    is_urgent: bool,
    /// How many lines were dropped since that was last logged.
    dropped: u64,
}

impl LogQueue {
    /// An empty queue, which counts what it drops.
    pub(super) fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
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

    /// Waits for lines, for at most `time`, and writes them. Returns how many lines had been dropped before; 0 while
    /// nothing can be written.
    pub(super) fn write_next(&self, out: &mut Output<impl Write>, time: Duration) -> u64 {
        let is_empty = |state: &mut State| state.waiting.is_empty();
        let mut state = self.lock();
        // Only now: what the caller logged after the last call is queued as well.
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
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Where the lines go.
pub(super) struct Output<W> {
    out: W,
    /// A failure cut a line.
    in_line: bool,
}

impl<W: Write> Output<W> {
    pub(super) const fn new(out: W) -> Self {
        Self {
            out,
            in_line: false,
        }
    }

    /// Writes whole lines, and returns what could not be written.
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

/// As many whole lines as one write takes, or a single longer one.
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
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;
    use crate::metrics::Format;

    const LONG: Duration = Duration::from_secs(20);

    fn dropped(metrics: &Metrics) -> u64 {
        let text = metrics.encode(Format::Prometheus);
        let mut lines = text.lines();
        let sample = lines.find_map(|line| line.strip_prefix("hallpass_log_lines_dropped_total "));
        sample.unwrap().parse().unwrap()
    }

    /// Takes at most so many bytes at a time, and fails once at an offset.
    #[derive(Default)]
    struct Reader {
        most: usize,
        read: Vec<u8>,
        fails_at: Option<(usize, ErrorKind)>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut most = bytes.len().min(self.most);
            if let Some((at, error)) = self.fails_at {
                if self.read.len() == at {
                    self.fails_at = None;
                    return Err(error.into());
                }
                most = most.min(at - self.read.len());
            }
            self.read.extend_from_slice(&bytes[..most]);
            Ok(most)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_drops_and_counts_lines_and_reports_the_count_once() {
        let metrics = Metrics::default();
        let lines = LogQueue::new(metrics.clone());
        let line = [&[b'x'; 99][..], b"\n"].concat();
        let room = u64::try_from(MAX_QUEUED_BYTES / line.len()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (0..room + 7).for_each(|_| lines.push(&line)));
        });
        assert_eq!(dropped(&metrics), 7);
        let mut out = Output::new(Reader {
            most: 1_000,
            ..Reader::default()
        });
        assert_eq!(lines.write_next(&mut out, LONG), 7);
        assert_eq!(count(&out.out.read), room);
        // The writer's own line has room even if others have filled the queue again.
        thread::scope(|scope| {
            scope.spawn(|| (0..room).for_each(|_| lines.push(&line)));
        });
        lines.push(b"7 lines were dropped\n");
        assert_eq!(lines.write_next(&mut out, LONG), 0);
        assert!(out.out.read.ends_with(b"\n7 lines were dropped\n"));
        assert_eq!(lines.write_next(&mut out, Duration::ZERO), 0);
        assert_eq!(dropped(&metrics), 7);
    }

    #[test]
    fn unwritten_lines_are_counted_and_the_next_line_begins_anew() {
        let metrics = Metrics::default();
        let lines = LogQueue::new(metrics.clone());
        let mut out = Output::new(Reader {
            most: 4,
            fails_at: Some((8, ErrorKind::StorageFull)),
            ..Reader::default()
        });
        lines.push(b"first\nsecond\nthird\n");
        assert_eq!(
            lines.write_next(&mut out, LONG),
            0,
            "nothing can be written"
        );
        assert_eq!(dropped(&metrics), 2);
        lines.push(b"fourth\n");
        assert_eq!(lines.write_next(&mut out, LONG), 2);
        assert_eq!(out.out.read, b"first\nse\nfourth\n");
    }

    #[test]
    fn passing_errors_lose_nothing() {
        for passing in [ErrorKind::Interrupted, ErrorKind::WouldBlock] {
            let metrics = Metrics::default();
            let lines = LogQueue::new(metrics.clone());
            let mut out = Output::new(Reader {
                most: 100,
                fails_at: Some((3, passing)),
                ..Reader::default()
            });
            lines.push(b"first\nsecond\n");
            assert_eq!(lines.write_next(&mut out, LONG), 0);
            assert_eq!(
                (&out.out.read[..], dropped(&metrics)),
                (&b"first\nsecond\n"[..], 0)
            );
        }
    }

    /// Blocks until it is released.
    struct Stalled(Sender<()>, Receiver<()>);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(()).unwrap();
            self.1.recv().unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flush_waits_for_what_is_being_written_but_not_for_ever() {
        let lines = LogQueue::new(Metrics::default());
        let (began, begins) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel();
        let writer = lines.clone();
        let thread = thread::spawn(move || {
            let mut out = Output::new(Stalled(began, goes_on));
            writer.write_next(&mut out, LONG);
            writer.write_next(&mut out, Duration::ZERO);
        });
        lines.push(b"a line\n");
        begins.recv().unwrap();
        lines.flush(Duration::from_millis(1));
        assert!(lines.lock().is_writing, "the flush gave up");
        // The control: with a reader, it waits until all is written.
        go_on.send(()).unwrap();
        lines.flush(LONG);
        assert!(!lines.lock().is_writing);
        thread.join().unwrap();
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_between_characters() {
        for shift in 0..3 {
            let line = format!("{}{}\n", "x".repeat(shift), "é".repeat(MAX_LINE_BYTES));
            let cut = cut(line.as_bytes()).into_owned();
            assert!((MAX_LINE_BYTES - 1..=MAX_LINE_BYTES).contains(&cut.len()));
            assert!(String::from_utf8(cut).unwrap().ends_with("é [cut]\n"));
        }
        assert_eq!(&*cut(b"short\n"), b"short\n");
    }

    #[test]
    fn pieces_are_whole_lines_that_a_pipe_takes_as_one() {
        let line = [&[b'x'; 999][..], b"\n"].concat();
        let lines = line.repeat(10);
        assert_eq!(first_piece(&lines).unwrap().len(), 4_000);
        let long = [&[b'x'; 5_000][..], b"\nmore\n"].concat();
        assert_eq!(first_piece(&long).unwrap().len(), 5_001);
        assert_eq!(first_piece(b""), None);
    }
}
