//! A record as one JSON object: when, how grave, from where, and its fields, of which `message` is one.

use std::fmt;

use serde::ser::{SerializeMap, Serializer as _};
use tracing::Event;
use tracing_serde::SerdeMapVisitor;
use tracing_subscriber::fmt::{FmtContext, format::Writer};

use super::queue::MAX_LINE_BYTES;
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
    let mut object = object(event, true)?;
    if object.len() > MAX_LINE_BYTES {
        object = self::object(event, false)?;
    }
    line.write_str(&object)
}

/// With its fields, or with a note that they are too long: half an object would be none.
fn object(event: &Event<'_>, with_fields: bool) -> Result<String, fmt::Error> {
    let object = json(event, with_fields).map_err(|_| fmt::Error)?;
    let object = str::from_utf8(&object).map_err(|_| fmt::Error)?;
    Ok(visible::escape_json(object).into_owned())
}

fn json(event: &Event<'_>, with_fields: bool) -> serde_json::Result<Vec<u8>> {
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
    if let Some(id) = current::request_id() {
        object.serialize_entry("request.id", id.as_str())?;
    }
    object.end()?;
    line.push(b'\n');
    Ok(line)
}
