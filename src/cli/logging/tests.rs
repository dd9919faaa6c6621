use std::{
    io,
    sync::{Arc, Mutex},
};

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
    let lines = lines(text::format, ansi, records);
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
    let lines = lines(json::format, false, || {
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

mod panics;
