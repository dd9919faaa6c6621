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

/// A reader that takes so many bytes at a time, and then fails once where it is told to.
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
fn a_full_queue_drops_and_counts_and_tells_once_when_lines_are_read_again() {
    let metrics = Metrics::default();
    let lines = Lines::new(metrics.clone());
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
    // What the writer tells has room even if others have filled the queue again.
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
fn what_cannot_be_written_is_counted_and_the_next_line_begins_anew() {
    let metrics = Metrics::default();
    let lines = Lines::new(metrics.clone());
    let mut out = Output::new(Reader {
        most: 4,
        fails_at: Some((8, ErrorKind::StorageFull)),
        ..Reader::default()
    });
    lines.push(b"first\nsecond\nthird\n");
    assert_eq!(lines.write_next(&mut out, LONG), 0, "nobody to be told");
    assert_eq!(dropped(&metrics), 2);
    lines.push(b"fourth\n");
    assert_eq!(lines.write_next(&mut out, LONG), 2);
    assert_eq!(out.out.read, b"first\nse\nfourth\n");
}

#[test]
fn what_only_interrupts_loses_nothing() {
    for passing in [ErrorKind::Interrupted, ErrorKind::WouldBlock] {
        let metrics = Metrics::default();
        let lines = Lines::new(metrics.clone());
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

/// Takes nothing before it is told to.
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
    let lines = Lines::new(Metrics::default());
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
