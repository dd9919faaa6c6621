//! Files, folders and stdin.

use std::{
    fs,
    io::Write,
    os::unix::{fs::symlink, net::UnixListener},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use super::{shown, token, write};
use crate::{cli::sandbox::Sandbox, test_app::id_of};

/// The size of a read.
const READ_SIZE: usize = 256 * 1024;

#[test]
fn tokens_are_found_in_files_of_every_kind() {
    let sandbox = Sandbox::empty();
    let token = token("acme");
    let mut expected = Vec::new();
    let mut plant = |name: &str, before: &[u8], after: &[u8]| {
        write(&sandbox, name, [before, token.as_bytes(), after].concat());
        let lines: Vec<_> = before.split(|byte| *byte == b'\n').collect();
        let (line, column) = (lines.len(), lines[lines.len() - 1].len() + 1);
        expected.push(format!("./{name}:{line}:{column}: {}", shown(&token)));
    };
    plant("text.md", "# Notes\n\nthe token: ".as_bytes(), b"\n");
    plant(".env", b"A=1\r\nTOKEN=", b"\r\nB=2\r\n");
    plant(".config/deep/.hidden/x.json", b"{\"a\":\"\\n", b"\\n\"}");
    plant("binary", b"\x7fELF\0\xff\xfe\n\0", b"2\0\xff");
    plant(
        "min.js",
        &b"var a=1;".repeat(50_000),
        &b"b();".repeat(50_000),
    );
    plant("no-end", b"", b"");
    // Before, across and behind each boundary of a read, and one far behind.
    for at in (READ_SIZE - 90..READ_SIZE + 90)
        .step_by(7)
        .chain([3 * READ_SIZE - 40, 20 * READ_SIZE])
    {
        plant(&format!("piece-{at}"), &b"line\n".repeat(at)[..at], b"\n");
    }
    expected.sort();
    assert_eq!(sandbox.run(&["scan", "."]).found(1), expected);
}

#[test]
fn text_that_is_no_token_is_not_found() {
    let sandbox = Sandbox::empty();
    let token = token("hallpass");
    let mut mistyped = token.clone();
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == 'x' { 'y' } else { 'x' });
    let upper = token.to_uppercase();
    let spaced = token.replace('_', "-");
    for (n, text) in [&mistyped, &token[..80], &token[1..], &upper, &spaced, ""]
        .iter()
        .enumerate()
    {
        write(&sandbox, &format!("file-{n}"), text);
    }
    let ran = sandbox.run(&["scan", "."]);
    assert!(ran.found(0).is_empty());
    assert!(
        ran.stderr
            .contains("found: 0, in places: 0; searched: 6 files"),
        "{ran:?}"
    );
    // The control.
    write(&sandbox, "file-0", &token);
    assert_eq!(sandbox.run(&["scan", "."]).found(1).len(), 1);
}

#[test]
fn only_excluded_files_are_skipped_and_that_is_reported() {
    let sandbox = Sandbox::empty();
    let token = token("hallpass");
    write(&sandbox, ".gitignore", "target\n*.log\n");
    for name in [
        "a",
        ".hidden/b",
        "target/c",
        "d.log",
        ".git/config",
        "sub/.git/config",
    ] {
        write(&sandbox, name, &token);
    }
    // Ignore files are part of the untrusted tree.
    write(&sandbox, "sub/.ignore", "*\n");
    write(&sandbox, ".ignore", "*\n");
    write(&sandbox, ".rgignore", "*\n");
    let all = [
        "./.git/config",
        "./.hidden/b",
        "./a",
        "./d.log",
        "./sub/.git/config",
        "./target/c",
    ];
    let found = |args: &[&str]| -> (Vec<String>, String) {
        let ran = sandbox.run(&[&["scan", "."], args].concat());
        let names = ran
            .stdout
            .lines()
            .map(|line| line.split(':').next().unwrap().to_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        (names, ran.stderr)
    };
    let (names, told) = found(&[]);
    assert_eq!(names, all);
    assert!(told.contains("searched: 10 files"), "{told}");
    assert_eq!(found(&["--no-ignore"]).0, all);

    let (names, told) = found(&["--use-ignore-files"]);
    assert!(names.is_empty());
    assert!(told.contains("searched: 0 of 10 files"), "{told}");
    let (names, told) = found(&["--exclude", ".git/", "--exclude", "*.log"]);
    assert_eq!(names, ["./.hidden/b", "./a", "./target/c"]);
    assert!(told.contains("searched: 7 of 10 files"), "{told}");
    let (names, told) = found(&["--no-hidden"]);
    assert_eq!(names, ["./a", "./d.log", "./target/c"]);
    assert!(told.contains("searched: 3 of 10 files"), "{told}");
    assert_eq!(found(&["--no-hidden", "--hidden"]).0, all);
    sandbox.run(&["scan", ".", "--exclude", "{"]).refused(2);
    let named = ["scan", "d.log", "--use-ignore-files"];
    assert_eq!(sandbox.run(&named).found(1).len(), 1);
}

#[test]
fn ignored_tokens_are_not_reported() {
    let sandbox = Sandbox::empty();
    let tokens = [token("hallpass"), token("acme")];
    write(&sandbox, "leak", tokens.join("\n"));
    write(
        &sandbox,
        "list",
        format!("# of a test\n\n {} # known\n", id_of(&tokens[0])),
    );
    let ran = sandbox.run(&["scan", "leak", "--ignore-list", "list"]);
    assert_eq!(ran.found(1), [format!("leak:2:1: {}", shown(&tokens[1]))]);
    assert!(ran.stderr.contains("ignored: 1"), "{ran:?}");
    write(&sandbox, "leak", &tokens[0]);
    let ran = sandbox.run(&["scan", "leak", "--ignore-list", "list"]);
    assert!(ran.found(0).is_empty());
    // A plaintext is not an ID, and is not echoed.
    write(&sandbox, "list", &tokens[0]);
    let refusal = sandbox
        .run(&["scan", "leak", "--ignore-list", "list"])
        .refused(2);
    let told = "list, line 1: not a token's ID\nSee `hallpass scan --help`.";
    assert_eq!(refusal, told);
}

#[test]
fn tokens_are_found_in_encodings_and_archives() {
    let sandbox = Sandbox::empty();
    let token = token("hallpass");
    let shown = shown(&token);
    let secret = STANDARD.encode(&token);
    write(
        &sandbox,
        "secret.yaml",
        format!("data:\n  token: {secret}\n"),
    );
    let auth = STANDARD.encode(format!("ci:{token}"));
    write(
        &sandbox,
        "config.json",
        format!("{{\"auths\": {{\"r\": {{\"auth\": \"{auth}\"}}}}}}"),
    );
    let text = format!("\u{feff}a\r\n{token}\r\n");
    let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    write(&sandbox, "utf-16.txt", utf_16);
    write(
        &sandbox,
        "mail",
        format!("Token: {}=\r\n{}\r\n", &token[..60], &token[60..]),
    );
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let log = format!("{}{token}", "started\n".repeat(20));
    encoder.write_all(log.as_bytes()).unwrap();
    write(&sandbox, "log.gz", encoder.finish().unwrap());
    let ran = sandbox.run(&[
        "scan",
        "config.json",
        "secret.yaml",
        "utf-16.txt",
        "mail",
        "log.gz",
    ]);
    let expected = [
        format!("config.json:1:27: {shown} (in base64)"),
        format!("log.gz!gzip:21:1: {shown}"),
        format!("mail:1:8: {shown}"),
        format!("secret.yaml:2:10: {shown} (in base64)"),
        format!("utf-16.txt:2:2: {shown}"),
    ];
    assert_eq!(ran.found(1), expected);
    let ran = sandbox.run(&["scan", "secret.yaml", "--json"]);
    let line: Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    assert_eq!(line["encoding"], "base64");
}

#[test]
fn endless_files_are_skipped() {
    let sandbox = Sandbox::empty();
    write(&sandbox, "a/real", token("hallpass"));
    mknodat(CWD, sandbox.path("a/pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = UnixListener::bind(sandbox.path("a/socket")).unwrap();
    symlink("/dev/zero", sandbox.path("a/zero")).unwrap();
    let ran = sandbox.run(&["scan", "a"]);
    assert_eq!(ran.found(1).len(), 1);
    assert!(ran.stderr.contains("searched: 1 files"), "{ran:?}");
}

#[test]
fn links_are_not_followed_and_no_file_is_read_twice() {
    let sandbox = Sandbox::empty();
    write(&sandbox, "a/real", token("hallpass"));
    write(&sandbox, "elsewhere", token("hallpass"));
    fs::hard_link(sandbox.path("a/real"), sandbox.path("a/same")).unwrap();
    symlink("../elsewhere", sandbox.path("a/link")).unwrap();
    symlink("..", sandbox.path("a/circle")).unwrap();
    let ran = sandbox.run(&["scan", "a", "a/real", "./a"]);
    assert_eq!(ran.found(1).len(), 1, "{ran:?}");
    assert!(ran.stderr.contains("searched: 1 files"), "{ran:?}");
    // A link named as an argument is followed.
    let ran = sandbox.run(&["scan", "a/link"]);
    assert_eq!(ran.found(1).len(), 1, "{ran:?}");
}

#[test]
fn stdin_is_searched_like_a_file() {
    let sandbox = Sandbox::empty();
    let token = token("hallpass");
    let text = format!("{}\n  {token} {token}\n", "x".repeat(2 * READ_SIZE));
    let shown = shown(&token);
    let expected = [
        format!("<stdin>:2:3: {shown}"),
        format!("<stdin>:2:85: {shown}"),
    ];
    assert_eq!(sandbox.run_with(&["scan", "-"], &text).found(1), expected);
    write(&sandbox, "file", &token);
    assert_eq!(
        sandbox
            .run_with(&["scan", "file", "-"], &text)
            .found(1)
            .len(),
        3
    );
    let nothing = sandbox.run_with(&["scan", "-"], "nothing\n").found(0);
    assert!(nothing.is_empty());
}
