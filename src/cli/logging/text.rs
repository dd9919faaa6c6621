//! A record as a line for people: when, how grave, from where, what, and its fields as `name=value`.
//!
//! Whatever a value holds, the record is one line, and a terminal finds no command in it: what does not show is
//! written as an escape. Text that could be taken for more than one value stands in quotes.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};
use tracing::{
    Event, Level,
    field::{Field, Visit},
};
use tracing_subscriber::fmt::{FmtContext, format::Writer};

use crate::{
    domain::{
        clock::{Clock, SystemClock},
        visible,
    },
    server::current,
};

/// Writes a record.
pub(super) fn format<S, N>(
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
    if let Some(id) = current::request_id() {
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
                write!(Harmless(line), "{value:?}")
            }
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field.name(), |line| write!(line, "{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field.name(), |line| write!(Harmless(line), "{value:?}"));
    }
}

/// Whether a byte is a character by itself, and shows.
const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Writes what does not show as escapes.
struct Harmless<'a, 'b>(&'a mut Writer<'b>);

impl fmt::Write for Harmless<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_str(&visible::escape(text))
    }
}
