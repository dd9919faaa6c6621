//! What goes to stdout: JSON for scripts, tables for people. Hints and questions go to stderr, so that
//! stdout holds the answer alone. People see all characters of what others wrote, and no token's secret in it;
//! JSON holds the same values as the reply.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use clap::Args;
use comfy_table::{Table, presets};
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde::Serialize;

use crate::{
    domain::{token_search, visible},
    proto,
};

/// How to print.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct OutputArgs {
    /// Print the API's reply as JSON, instead of text for people.
    #[arg(long)]
    pub(super) json: bool,
}

/// Prints `value` as JSON.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    exact(&visible::escape_json(&serde_json::to_string_pretty(value)?))
}

/// Prints a reply of the API as `ProtoJSON`. Fields without presence are always there, so that a script need not
/// ask for each whether it is.
pub(super) fn reply<M: Message + Name>(reply: &M) -> io::Result<()> {
    let name = M::full_name();
    let descriptor = proto::pool().get_message_by_name(&name);
    let mut message = DynamicMessage::new(descriptor.expect("all messages are in the pool"));
    message.transcode_from(reply).map_err(io::Error::other)?;
    let mut text = Vec::new();
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut json = serde_json::Serializer::pretty(&mut text);
    message.serialize_with_options(&mut json, &options)?;
    exact(&visible::escape_json(&String::from_utf8_lossy(&text)))
}

/// As people may be shown it, on one line: without the secrets of tokens, and with what does not show escaped.
pub(super) fn shown(text: &str) -> String {
    let redacted = match token_search::redact(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    };
    visible::escape(&redacted).into_owned()
}

/// Prints a line for people.
pub(super) fn line(text: &str) -> io::Result<()> {
    exact(&shown(text))
}

/// Prints a text as it is: a new token, JSON, a script.
pub(super) fn exact(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Prints rows below a header: one line each, nothing cut, so that it can be searched and piped.
pub(super) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| shown(&cell))));
    print_table(table)
}

/// Prints what is known of one thing, a line each.
pub(super) fn fields<const N: usize>(fields: [(&str, String); N]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_rows(fields.map(|(name, value)| [format!("{name}:"), shown(&value)]));
    print_table(table)
}

/// What stands in a table for a text that is empty.
pub(super) fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

fn print_table(mut table: Table) -> io::Result<()> {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    exact(&table.trim_fmt())
}

/// Tells a person something that is not the answer. That nobody listens is no failure.
pub(super) fn hint(text: &str) {
    drop(writeln!(io::stderr(), "{}", shown(text)));
}
