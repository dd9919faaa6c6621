//! A panic while the reader of stderr stalls, in a process of its own: the hook and stderr are the process's.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::mpsc,
};

use clap::Parser;

use super::*;

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
    let (tell, hear) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            drop(tell.send(line));
        }
    });
    let begins = hears(&hear, BEGINS, Duration::from_mins(1));
    let ended = hears(&hear, ENDED, within);
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
