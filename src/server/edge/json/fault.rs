//! Finds the first field of a JSON message that is not what its descriptor asks for.
//!
//! It knows the shape of messages, lists and maps; whether a leaf is right is asked of the caller, so
//! that the rules of the mapping are written once, in prost-reflect.

use std::fmt;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

/// A field that is not what it should be. It holds names of the schema alone, nothing of the message.
pub(super) struct Fault {
    path: String,
    expected: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "expected {}", self.expected)
    }
}

/// A value that is not taken apart further.
pub(super) struct Leaf<'a> {
    pub(super) parent: &'a MessageDescriptor,
    pub(super) kind: &'a Kind,
    pub(super) value: &'a Value,
    field: &'a FieldDescriptor,
}

impl Leaf<'_> {
    /// The parent message with nothing but this value in it.
    pub(super) fn alone(&self) -> Value {
        let value = self.value.clone();
        let name = self.field.json_name();
        if self.field.is_list() {
            json!({ name: [value] })
        } else if self.field.is_map() {
            // A key that every type of key can read.
            let key = match map_kinds(self.field) {
                Some((Kind::Bool, _)) => "true",
                _ => "0",
            };
            json!({ name: { key: value } })
        } else {
            json!({ name: value })
        }
    }
}

/// The first fault, by `is_right` for the leaves.
pub(super) fn find(
    message: &MessageDescriptor,
    value: &Value,
    is_right: &dyn Fn(Leaf<'_>) -> bool,
) -> Option<Fault> {
    in_message(message, value, String::new(), is_right)
}

fn in_message(
    message: &MessageDescriptor,
    value: &Value,
    path: String,
    is_right: &dyn Fn(Leaf<'_>) -> bool,
) -> Option<Fault> {
    let Value::Object(entries) = value else {
        return Some(Fault::new(path, "an object"));
    };
    entries.iter().find_map(|(key, value)| {
        let field = message
            .get_field_by_json_name(key)
            .or_else(|| message.get_field_by_name(key))?;
        if value.is_null() {
            return None;
        }
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", field.json_name());
        in_field(message, &field, value, path, is_right)
    })
}

fn in_field(
    parent: &MessageDescriptor,
    field: &FieldDescriptor,
    value: &Value,
    path: String,
    is_right: &dyn Fn(Leaf<'_>) -> bool,
) -> Option<Fault> {
    let element = |kind: &Kind, value: &Value, path: String| match kind {
        Kind::Message(inner) if !is_well_known(inner) => in_message(inner, value, path, is_right),
        _ => {
            let right = is_right(Leaf {
                parent,
                kind,
                value,
                field,
            });
            (!right).then(|| Fault::new(path, expected(kind)))
        }
    };
    if field.is_list() {
        let Value::Array(items) = value else {
            return Some(Fault::new(path, "a list"));
        };
        let kind = field.kind();
        (items.iter().enumerate())
            .find_map(|(index, item)| element(&kind, item, format!("{path}[{index}]")))
    } else if let Some((_, kind)) = map_kinds(field) {
        let Value::Object(entries) = value else {
            return Some(Fault::new(path, "an object"));
        };
        entries
            .values()
            .find_map(|item| element(&kind, item, path.clone()))
    } else {
        element(&field.kind(), value, path)
    }
}

fn map_kinds(field: &FieldDescriptor) -> Option<(Kind, Kind)> {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => Some((
            entry.map_entry_key_field().kind(),
            entry.map_entry_value_field().kind(),
        )),
        _ => None,
    }
}

/// Messages whose JSON is not an object of their fields.
fn is_well_known(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

impl Fault {
    fn new(path: String, expected: impl Into<String>) -> Self {
        let expected = expected.into();
        Self { path, expected }
    }
}

fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Double | Kind::Float => "a number".to_owned(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => whole(i32::MIN, i32::MAX),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => whole(i64::MIN, i64::MAX),
        Kind::Uint32 | Kind::Fixed32 => whole(u32::MIN, u32::MAX),
        Kind::Uint64 | Kind::Fixed64 => whole(u64::MIN, u64::MAX),
        Kind::Bool => "true or false".to_owned(),
        Kind::String => "a string".to_owned(),
        Kind::Bytes => "a string in base64".to_owned(),
        Kind::Enum(enumeration) => format!("a value of {}", enumeration.full_name()),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => {
                "an RFC 3339 time such as 2030-01-31T12:00:00Z".to_owned()
            }
            "google.protobuf.Duration" => "a number of seconds such as 3600s".to_owned(),
            name => format!("a {name}"),
        },
    }
}

fn whole(least: impl fmt::Display, most: impl fmt::Display) -> String {
    format!("a whole number from {least} to {most}")
}
