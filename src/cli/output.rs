//! Prints results to stdout: JSON for scripts, text and tables ([`super::table`]) for people. Hints and questions go to
//! stderr. In text for people, invisible characters are escaped and token secrets redacted. JSON has the reply's values.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use clap::Args;
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{
    domain::{token_search, visible},
    proto,
};

/// How to print. [`super::json_output`] adds the JSON's type to the help.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct OutputArgs {
    /// Print JSON instead of text for people.
    #[arg(long)]
    pub(super) json: bool,
}

/// How to print a list.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct ListOutputArgs {
    /// Print JSON instead of text for people, all pages as one reply.
    #[arg(long)]
    pub(super) json: bool,
    /// Print JSON, one entry per line, page by page as they arrive.
    #[arg(long, conflicts_with = "json")]
    pub(super) jsonl: bool,
}

impl OutputArgs {
    /// Prints a reply as `ProtoJSON`, or for people as `text` does.
    pub(super) fn print<M: Message + Name>(
        self,
        message: M,
        text: impl FnOnce(M) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.json {
            reply(&message)
        } else {
            text(message)
        }
    }
}

impl ListOutputArgs {
    /// The same for all pages of a list as one reply.
    pub(super) fn print<M: Message + Name>(
        self,
        message: M,
        text: impl FnOnce(M) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self { json, .. } = self;
        OutputArgs { json }.print(message, text)
    }
}

/// Prints `value` as JSON.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    exact(&visible::escape_json(&serde_json::to_string_pretty(value)?))
}

/// Prints a reply as `ProtoJSON`. Fields without presence are always included, so that scripts need not check for them.
pub(super) fn reply<M: Message + Name>(reply: &M) -> io::Result<()> {
    let mut text = Vec::new();
    let mut json = serde_json::Serializer::pretty(&mut text);
    serialize(reply, &mut json)?;
    exact(&visible::escape_json(&String::from_utf8_lossy(&text)))
}

/// Prints messages as `ProtoJSON`, one per line.
pub(super) fn json_lines<M: Message + Name>(messages: &[M]) -> io::Result<()> {
    let mut text = Vec::new();
    for message in messages {
        serialize(message, &mut serde_json::Serializer::new(&mut text))?;
        text.push(b'\n');
    }
    let text = String::from_utf8_lossy(&text);
    let mut stdout = io::stdout().lock();
    stdout.write_all(visible::escape_json(&text).as_bytes())?;
    stdout.flush()
}

/// A reply as `ProtoJSON`, to be part of a larger object.
pub(super) fn to_json<M: Message + Name>(reply: &M) -> io::Result<Value> {
    serialize(reply, serde_json::value::Serializer)
}

fn serialize<M: Message + Name, S: Serializer>(reply: &M, json: S) -> io::Result<S::Ok> {
    let descriptor = proto::pool().get_message_by_name(&M::full_name());
    let mut message = DynamicMessage::new(descriptor.expect("all messages are in the pool"));
    message.transcode_from(reply).map_err(io::Error::other)?;
    let options = SerializeOptions::new().skip_default_fields(false);
    let written = message.serialize_with_options(json, &options);
    written.map_err(|error| io::Error::other(error.to_string()))
}

/// `text` for people, on one line: token secrets redacted, invisible characters escaped.
pub(super) fn safe(text: &str) -> String {
    let redacted = match token_search::redact(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    };
    visible::escape(&redacted).into_owned()
}

/// Prints a line for people.
pub(super) fn line(text: &str) -> io::Result<()> {
    exact(&safe(text))
}

/// Prints text unchanged: a new token, JSON, a script.
pub(super) fn exact(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Prints the fields of one thing, one per line.
pub(super) fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> io::Result<()> {
    let rows: Vec<_> = fields.into_iter().collect();
    let names = rows.iter().map(|(name, _)| name.len());
    // The colon and two spaces follow the longest name.
    let width = names.max().unwrap_or_default() + 3;
    let rows = rows.into_iter().map(|(name, value)| {
        let name = format!("{name}:");
        let row = format!("{name:width$}{}", safe(&value));
        row.trim_end().to_owned()
    });
    exact(&rows.collect::<Vec<_>>().join("\n"))
}

/// A dash instead of an empty text.
pub(super) fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// Prints a line on stderr. Ignores errors: a result does not fail because nobody reads the hints.
pub(super) fn hint(text: &str) {
    drop(writeln!(io::stderr(), "{}", safe(text)));
}
