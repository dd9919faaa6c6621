//! The two formats of a log record.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};
use serde::ser::{SerializeMap, Serializer as _};
use tracing::{
    Event, Level,
    field::{Field, Visit},
};
use tracing_serde::SerdeMapVisitor;
use tracing_subscriber::fmt::{FmtContext, format::Writer};

use super::queue::MAX_LINE_BYTES;
use crate::{
    domain::{
        clock::{Clock, SystemClock},
        visible,
    },
    server::request_id,
};

/// Writes a record as a line for people: the time, level, target and message, and its fields as `name=value`. What does
/// not show in a value is escaped, so that the record is one line and a terminal finds no command in it; text that
/// could be read as more than one value is quoted.
pub(super) fn text<S, N>(
    _: &FmtContext<'_, S, N>,
    mut line: Writer<'_>,
    event: &Event<'_>,
) -> fmt::Result {
    let (level, target) = (*event.metadata().level(), event.metadata().target());
    let style = if line.has_ansi_escapes() {
        style(level)
    } else {
        Style::new()
    };
    let now = SystemClock.now();
    write!(line, "{now} {style}{level:>5}{style:#} {target}:")?;
    let mut fields = Fields {
        line,
        written: Ok(()),
    };
    event.record(&mut fields);
    if let Some(id) = request_id::current() {
        fields.field("request.id", |line| line.write_str(id.as_str()));
    }
    fields.written?;
    fields.line.write_char('\n')
}

fn style(level: Level) -> Style {
    let color = match level {
        Level::ERROR => AnsiColor::Red,
        Level::WARN => AnsiColor::Yellow,
        Level::INFO => AnsiColor::Green,
        Level::DEBUG => AnsiColor::Blue,
        Level::TRACE => AnsiColor::Magenta,
    };
    color.on_default()
}

struct Fields<'a> {
    line: Writer<'a>,
    written: fmt::Result,
}

impl Fields<'_> {
    fn field(&mut self, name: &str, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.written.is_ok() {
            self.written = self.write(name, value);
        }
    }

    /// The message has no name.
    fn write(
        &mut self,
        name: &str,
        value: impl FnOnce(&mut Writer<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let line = &mut self.line;
        line.write_char(' ')?;
        if name != "message" {
            line.write_str(name)?;
            line.write_char('=')?;
        }
        value(line)
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field.name(), |line| {
            let is_plain = |byte| is_printable(byte) && !b" \"".contains(&byte);
            if !value.is_empty() && value.bytes().all(is_plain) {
                line.write_str(value)
            } else {
                write!(Escaped(line), "{value:?}")
            }
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field.name(), |line| write!(line, "{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field.name(), |line| write!(Escaped(line), "{value:?}"));
    }
}

/// Whether a byte is a visible character by itself.
const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Escapes what does not show.
struct Escaped<'a, 'b>(&'a mut Writer<'b>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_str(&visible::escape(text))
    }
}

/// Writes a record as one JSON object: the time, level and target, and its fields, of which `message` is one.
pub(super) fn json<S, N>(
    _: &FmtContext<'_, S, N>,
    mut line: Writer<'_>,
    event: &Event<'_>,
) -> fmt::Result {
    let mut object = escaped_object(event, true)?;
    if object.len() > MAX_LINE_BYTES {
        object = escaped_object(event, false)?;
    }
    line.write_str(&object)
}

/// With its fields, or with a note that they are too long: an object cannot be cut.
fn escaped_object(event: &Event<'_>, with_fields: bool) -> Result<String, fmt::Error> {
    let object = object(event, with_fields).map_err(|_| fmt::Error)?;
    let object = str::from_utf8(&object).map_err(|_| fmt::Error)?;
    Ok(visible::escape_json(object).into_owned())
}

fn object(event: &Event<'_>, with_fields: bool) -> serde_json::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(256);
    let mut json = serde_json::Serializer::new(&mut line);
    let mut object = json.serialize_map(None)?;
    let now = SystemClock.now();
    object.serialize_entry("timestamp", &format_args!("{now}"))?;
    object.serialize_entry("level", event.metadata().level().as_str())?;
    object.serialize_entry("target", event.metadata().target())?;
    if with_fields {
        let mut fields = SerdeMapVisitor::new(object);
        event.record(&mut fields);
        object = fields.take_serializer()?;
    } else {
        object.serialize_entry("message", "a record that is too long was left out")?;
    }
    if let Some(id) = request_id::current() {
        object.serialize_entry("request.id", id.as_str())?;
    }
    object.end()?;
    line.push(b'\n');
    Ok(line)
}
