//! `hallpass bench`: a short run.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use super::sandbox::Sandbox;

const SHORT: [&str; 4] = ["bench", "--duration=100ms", "--tokens=20", "--clients=4"];

fn left_behind(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn bench_measures_every_kind_of_request_and_cleans_up() {
    let sandbox = Sandbox::empty();
    let report = sandbox.json(&SHORT);
    let rows: Vec<_> = report["measurements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert!(row["perSecond"].as_f64().unwrap() > 0.0, "{row}");
            let micros = |name: &str| row[name].as_f64().unwrap();
            assert!(micros("p50Micros") > 0.0 && micros("p50Micros") <= micros("p99Micros"));
            (
                row["what"].as_str().unwrap(),
                row["clients"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("introspection", 4),
        ("forward-auth", 4),
        ("VerifyToken", 4),
        ("GetToken", 4),
        ("CreateToken", 1),
        ("CreateToken", 4),
    ];
    assert_eq!(rows, expected);
    assert!(report["diskSyncMicros"].as_f64().unwrap() > 0.0);
    assert_eq!(left_behind(&sandbox), [""; 0]);

    let text = sandbox.print(&SHORT);
    assert!(
        text.contains("introspection") && text.contains("\n\nThe disk keeps"),
        "{text}"
    );
    assert_eq!(left_behind(&sandbox), [""; 0]);
}

#[test]
fn missing_folder_is_refused() {
    let refusal = Sandbox::empty()
        .run(&["bench", "--folder=nowhere"])
        .refused(1);
    assert!(
        refusal.starts_with("cannot make a folder: ") && refusal.contains("nowhere"),
        "{refusal}"
    );
}

#[test]
fn interrupted_bench_cleans_up() {
    let sandbox = Sandbox::empty();
    let mut command = sandbox.command(&["bench", "--duration=1h"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The run has begun once its database exists.
    while left_behind(&sandbox).is_empty() {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut told = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut told).unwrap();
    assert_eq!(
        told,
        "hallpass: interrupted: nothing was measured to its end\n"
    );
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(left_behind(&sandbox), [""; 0]);
}
