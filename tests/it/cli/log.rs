//! The server's log when its reader is slow, gone or was never there: log lines are lost, service is not affected.

use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, PipeReader, PipeWriter, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};

use super::sandbox::{Sandbox, Serving, ended};

/// Longer than the last flush may take, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

const SERVE: [&str; 3] = [
    "serve",
    "--listen=127.0.0.1:0",
    "--metrics-listen=127.0.0.1:0",
];

/// A pipe whose buffer is full.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    for piece in [&[b'\n'; 4_096][..], b"\n"] {
        let full = loop {
            if let Err(error) = writer.write_all(piece) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// Shuts the server down, which must end cleanly and in time.
fn stop(mut serving: Serving) {
    let process = Pid::from_raw(i32::try_from(serving.id()).unwrap()).unwrap();
    kill_process(process, Signal::TERM).unwrap();
    assert_eq!(serving.ended(TIMEOUT).code(), Some(0));
}

/// Requests `requests` unknown pages with paths of this length, and reads all responses.
fn ask(address: &str, requests: usize, path_len: usize) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let request = format!(
        "GET /{} HTTP/1.1\r\nHost: h\r\n\r\n",
        "x".repeat(path_len - 1)
    );
    let mut buffer = vec![0; 64 * 1_024];
    for _ in 0..requests / 10 {
        socket.write_all(request.repeat(10).as_bytes()).unwrap();
        let mut replies = String::new();
        while replies.matches("HTTP/1.1 404").count() < 10 {
            let read = socket.read(&mut buffer).expect("a response in time");
            assert!(read > 0, "closed");
            replies.push_str(str::from_utf8(&buffer[..read]).unwrap());
        }
    }
}

fn metrics_address(serving: &mut Serving) -> String {
    let mut line = String::new();
    serving.stdout.read_line(&mut line).unwrap();
    let url = line.strip_prefix("hallpass metrics on http://").unwrap();
    url.split_once('/').unwrap().0.to_owned()
}

fn dropped(metrics: &str) -> u64 {
    let mut socket = TcpStream::connect(metrics).unwrap();
    socket
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    let sample = lines.find_map(|line| line.strip_prefix("hallpass_log_lines_dropped_total "));
    sample.unwrap().parse().unwrap()
}

#[test]
fn closed_log_reader_only_increases_dropped_lines() {
    let sandbox = Sandbox::empty();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut serving = sandbox.serve_to(sandbox.command(&SERVE), writer);
    let metrics = metrics_address(&mut serving);
    drop(reader);
    ask(&serving.address, 100, 10);
    let start = Instant::now();
    while dropped(&metrics) < 100 {
        assert!(start.elapsed() < TIMEOUT, "{}", dropped(&metrics));
        std::thread::sleep(Duration::from_millis(10));
    }
    stop(serving);
}

#[test]
fn stalled_log_reader_loses_lines_and_is_told_how_many() {
    let sandbox = Sandbox::empty();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut serving = sandbox.serve_to(sandbox.command(&SERVE), writer);
    let metrics = metrics_address(&mut serving);
    ask(&serving.address, 2_000, 1_000);
    let lost = dropped(&metrics);
    assert!(lost > 0);

    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let told = lines.find(|line| line.contains("log lines were dropped"));
    let told = told.unwrap();
    assert!(told.contains(&format!(" lines={lost}")), "{told} {lost}");
    ask(&serving.address, 10, 20);
    assert!(lines.any(|line| line.contains("path=/xxxxxxxxxxxxxxxxxxx ")));
    stop(serving);
}

#[test]
fn stalled_log_reader_delays_shutdown_only_by_the_last_flush() {
    for (signals, code) in [(1, 0), (2, 1)] {
        let sandbox = Sandbox::empty();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut serving = sandbox.serve_to(sandbox.command(&SERVE), writer);
        // More than a pipe's buffer holds.
        ask(&serving.address, 100, 1_000);
        // A request in flight delays the shutdown.
        let _open = (signals == 2).then(|| {
            let mut socket = TcpStream::connect(&serving.address).unwrap();
            socket
                .write_all(
                    b"POST /hallpass.v1.TokenService/CreateToken HTTP/1.1\r\nHost: h\r\n\
                    Content-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n",
                )
                .unwrap();
            // CreateToken waits for the body before it authenticates.
            socket.read_exact(&mut [0; b"HTTP/1.1 100".len()]).unwrap();
            socket
        });
        let process = Pid::from_raw(i32::try_from(serving.id()).unwrap()).unwrap();
        kill_process(process, Signal::TERM).unwrap();
        let start = Instant::now();
        while signals == 2 && !serving.has_ended() && start.elapsed() < TIMEOUT {
            kill_process(process, Signal::TERM).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        let status = serving.ended(TIMEOUT);
        assert_eq!(status.code(), Some(code));
        drop(reader);
    }
}

#[test]
fn failure_exits_with_its_code_even_if_stderr_is_not_read() {
    let sandbox = Sandbox::empty();
    let (_reader, writer) = full_pipe();
    let mut command = sandbox.command(&["serve", "--database-url=sqlite:not-there/x.db"]);
    let mut child = command
        .stderr(writer)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let code = ended(&mut child, TIMEOUT).code();
    // The control: the same with a reader.
    let ran = sandbox.run(&["serve", "--database-url=sqlite:not-there/x.db"]);
    assert!(
        ran.stderr.starts_with("hallpass: ") && ran.code > 1,
        "{ran:?}"
    );
    assert_eq!(code, Some(ran.code));
}

#[test]
fn unread_stdout_blocks_nothing() {
    let sandbox = Sandbox::empty();
    let (_reader, writer) = full_pipe();
    let mut child = sandbox
        .command(&SERVE)
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    // After this line it handles signals.
    let mut lines = stderr.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("created the user admin")));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = ended(&mut child, TIMEOUT);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn stderr_that_was_never_read_blocks_nothing() {
    for to in ["/dev/full", "&-"] {
        let sandbox = Sandbox::empty();
        let script = format!("exec \"$0\" \"$@\" 2>{to}");
        let mut command = Command::new("sh");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_hallpass")])
            .args(SERVE)
            .current_dir(sandbox.path(""))
            .env_clear()
            .stdin(Stdio::null());
        let mut serving = sandbox.serve_to(command, File::open("/dev/null").unwrap());
        let metrics = metrics_address(&mut serving);
        ask(&serving.address, 100, 10);
        if to == "/dev/full" {
            let start = Instant::now();
            while dropped(&metrics) < 100 {
                assert!(start.elapsed() < TIMEOUT);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        stop(serving);
    }
}

#[test]
fn last_log_lines_are_written_before_exit() {
    let sandbox = Sandbox::empty();
    sandbox.serve(&[]).stop();
    let log = sandbox.log();
    assert!(
        log.lines()
            .any(|line| line.ends_with("stopping on SIGTERM")),
        "{log}"
    );
}
