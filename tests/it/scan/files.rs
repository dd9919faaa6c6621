//! Files, folders and stdin.

use std::{fs, os::unix::fs::symlink};

use crate::cli::sandbox::Sandbox;

use super::{shown, token, write};

/// As much as is read at a time.
const PIECE: usize = 256 * 1024;

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
    // Before, over and behind each place where a piece may end, and one far behind.
    for at in (PIECE - 90..PIECE + 90)
        .step_by(7)
        .chain([3 * PIECE - 40, 20 * PIECE])
    {
        plant(&format!("piece-{at}"), &b"line\n".repeat(at)[..at], b"\n");
    }
    expected.sort();
    assert_eq!(sandbox.run(&["scan", "."]).found(1), expected);
}

#[test]
fn what_is_no_token_is_not_found() {
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
fn what_git_ignores_is_left_out_unless_asked_for_or_named() {
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
    let names = |args: &[&str]| -> Vec<String> {
        let lines = sandbox.run(&[&["scan"], args].concat()).found(1);
        lines
            .iter()
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&["."]), ["./.hidden/b", "./a"]);
    assert_eq!(names(&[".", "--no-hidden"]), ["./a"]);
    assert_eq!(
        names(&[".", "--no-hidden", "--hidden"]),
        ["./.hidden/b", "./a"]
    );
    let all = ["./.hidden/b", "./a", "./d.log", "./target/c"];
    assert_eq!(names(&[".", "--no-ignore"]), all);
    let named = ["d.log", "target/c", ".git/config", "sub/.git"];
    assert_eq!(
        names(&named),
        [".git/config", "d.log", "sub/.git/config", "target/c"]
    );
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
    // What is named is what is meant.
    let ran = sandbox.run(&["scan", "a/link"]);
    assert_eq!(ran.found(1).len(), 1, "{ran:?}");
}

#[test]
fn stdin_is_searched_like_a_file() {
    let sandbox = Sandbox::empty();
    let token = token("hallpass");
    let text = format!("{}\n  {token} {token}\n", "x".repeat(2 * PIECE));
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
