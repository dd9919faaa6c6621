use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::{Arc, Mutex, mpsc},
};

use clap::Parser;
use serde_json::{Value, json};

use tracing_subscriber::Registry;

use super::*;

/// What was written.
#[derive(Clone, Default)]
pub(super) struct Written(pub(super) Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn text_of(written: &Written) -> String {
    String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
}

/// The lines that `records` leave, without the time at their beginning.
fn lines(format: Format<Registry>, ansi: bool, records: fn()) -> String {
    let written = Written::default();
    let writer = written.clone();
    let log = fmt()
        .with_ansi(ansi)
        .event_format(format)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(log, records);
    text_of(&written)
}

fn text(ansi: bool, records: fn()) -> String {
    let lines = lines(format::text, ansi, records);
    lines
        .split_inclusive('\n')
        .map(|line| {
            let (time, rest) = line.split_once(' ').unwrap();
            humantime::parse_rfc3339(time).unwrap();
            rest.to_owned()
        })
        .collect()
}

#[test]
fn text_is_quoted_where_it_could_be_more_than_one_value() {
    let lines = text(false, || {
        tracing::info!(
            path = "/a?b",
            empty = "",
            two = "a b",
            quote = "a\"",
            n = 3_u64,
            "a thing"
        );
        tracing::warn!(error = %"no file", none = None::<u64>, on = true, "it failed");
    });
    let here = module_path!();
    assert_eq!(
        lines,
        format!(
            " INFO {here}: a thing path=/a?b empty=\"\" two=\"a b\" quote=\"a\\\"\" n=3\n \
             WARN {here}: it failed error=no file on=true\n"
        )
    );
}

#[test]
fn a_record_is_one_line_without_commands_for_a_terminal_whatever_it_holds() {
    let lines = text(true, || {
        let nasty = "a\n\u{1b}[2J\u{9b}31mé";
        tracing::error!(text = nasty, shown = %nasty, debug = ?nasty, "{nasty}");
    });
    let (level, rest) = lines.split_once(' ').unwrap();
    assert_eq!(level, "\u{1b}[31mERROR\u{1b}[0m");
    let (_, fields) = rest.split_once(": ").unwrap();
    let escaped = r"a\n\u{1b}[2J\u{9b}31mé";
    assert_eq!(
        fields.replace(r"\u{e9}", "é"),
        format!("{escaped} text=\"{escaped}\" shown={escaped} debug=\"{escaped}\"\n")
    );
}

#[test]
fn json_is_one_flat_object_a_record() {
    let lines = lines(format::json, false, || {
        tracing::warn!(error = %"a \"b\"\n", n = 3_u64, yes = true, "it failed");
    });
    assert_eq!(lines.lines().count(), 1);
    let mut object: Value = serde_json::from_str(&lines).unwrap();
    let time = object["timestamp"].take();
    humantime::parse_rfc3339(time.as_str().unwrap()).unwrap();
    let expected = json!({
        "timestamp": null,
        "level": "WARN",
        "target": module_path!(),
        "message": "it failed",
        "error": "a \"b\"\n",
        "n": 3,
        "yes": true,
    });
    assert_eq!(object, expected);
}

// A panic while the reader of stderr stalls, in a process of its own: the hook and stderr belong to the process.

const BEGINS: &str = "threads panic from now on";
const ENDED: &str = "all of them have ended";
/// Twice what the queue holds, and many times what a pipe does.
const PANICS: usize = 2_048;
const TEXT_BYTES: usize = 1_024;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    log: LogArgs,
}

#[test]
fn a_panic_ends_its_thread_while_the_reader_of_stderr_stalls() {
    assert!(all_end("with_our_hook", Duration::from_mins(1)));
    // The standard library's hook waits for the reader for ever.
    assert!(!all_end("with_the_hook_of_std", Duration::from_secs(3)));
}

#[test]
#[ignore = "the test above runs it"]
fn with_our_hook() {
    let args = Args::parse_from(["test"]);
    let _log = start(&args.log, Metrics::default()).unwrap();
    panic_again_and_again();
}

#[test]
#[ignore = "the test above runs it"]
fn with_the_hook_of_std() {
    panic_again_and_again();
}

fn panic_again_and_again() {
    let mut stdout = io::stdout();
    writeln!(stdout, "{BEGINS}").unwrap();
    for _ in 0..PANICS {
        let thread = thread::spawn(|| panic::panic_any("x".repeat(TEXT_BYTES)));
        thread.join().unwrap_err();
    }
    writeln!(stdout, "{ENDED}").unwrap();
}

/// Whether all threads end that panic in the test `name` of this file, whose stderr nobody reads.
fn all_end(name: &str, within: Duration) -> bool {
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{name}")])
        .args(["--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            drop(sender.send(line));
        }
    });
    let begins = hears(&receiver, BEGINS, Duration::from_mins(1));
    let ended = hears(&receiver, ENDED, within);
    // It may have ended by itself.
    drop(child.kill());
    child.wait().unwrap();
    reader.join().unwrap();
    assert!(begins);
    ended
}

fn hears(lines: &mpsc::Receiver<String>, text: &str, within: Duration) -> bool {
    let until = Instant::now() + within;
    while let Ok(line) = lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
        if line.contains(text) {
            return true;
        }
    }
    false
}
