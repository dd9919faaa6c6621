//! A record as one JSON object: when, how grave, from where, and its fields, of which `message` is one.

use std::fmt;

use serde::ser::{SerializeMap, Serializer as _};
use tracing::Event;
use tracing_serde::SerdeMapVisitor;
use tracing_subscriber::fmt::{FmtContext, format::Writer};

use crate::{
    domain::clock::{Clock, SystemClock},
    server::current,
};

/// Writes a record.
pub(super) fn format<S, N>(
    _: &FmtContext<'_, S, N>,
    mut line: Writer<'_>,
    event: &Event<'_>,
) -> fmt::Result {
    let object = object(event).map_err(|_| fmt::Error)?;
    line.write_str(str::from_utf8(&object).map_err(|_| fmt::Error)?)
}

fn object(event: &Event<'_>) -> serde_json::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(256);
    let mut json = serde_json::Serializer::new(&mut line);
    let mut object = json.serialize_map(None)?;
    let now = SystemClock.now();
    object.serialize_entry("timestamp", &format_args!("{now}"))?;
    object.serialize_entry("level", event.metadata().level().as_str())?;
    object.serialize_entry("target", event.metadata().target())?;
    let mut fields = SerdeMapVisitor::new(object);
    event.record(&mut fields);
    let mut object = fields.take_serializer()?;
    if let Some(id) = current::request_id() {
        object.serialize_entry("request.id", id.as_str())?;
    }
    object.end()?;
    line.push(b'\n');
    Ok(line)
}
