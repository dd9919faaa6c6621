//! Where in a message something is wrong, and what. It holds names from the schema, at most the name of an unknown
//! field, and never a value: that may be a password.

use std::{borrow::Cow, fmt::Write};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::de;

use crate::server::{edge::error, error::ApiError, unknown_name};

/// The state of reading a message.
pub(super) struct Reader {
    pub(super) is_strict: bool,
    /// The current field; after an error, the field that caused it.
    pub(super) path: FieldPath,
    /// What is wrong there, if it is not just the type of the value.
    pub(super) violation: Option<FieldViolation>,
}

impl Reader {
    pub(super) fn fail<E: de::Error>(&mut self, problem: impl Into<Cow<'static, str>>) -> E {
        self.violation = Some(self.path.violation(problem));
        E::custom("")
    }
}

pub(super) enum PathSegment {
    Field(FieldDescriptor),
    Element(usize),
    /// Any entry of a map: its key comes from the caller.
    Entry,
}

/// The path from the message to a value.
#[derive(Default)]
pub(super) struct FieldPath(Vec<PathSegment>);

/// What is wrong with a field, or with the whole message if the path is empty.
pub(in crate::server::edge) struct FieldViolation {
    path: String,
    problem: Cow<'static, str>,
}

impl FieldViolation {
    pub(in crate::server::edge) fn new(
        path: String,
        problem: impl Into<Cow<'static, str>>,
    ) -> Self {
        let problem = problem.into();
        Self { path, problem }
    }

    pub(in crate::server::edge) fn into_error(self) -> ApiError {
        let Self { path, problem } = self;
        if path.is_empty() {
            return error::malformed(problem);
        }
        let refusal = error::malformed(format!("{path}: {problem}"));
        refusal.with_violation(path, problem.into_owned())
    }
}

impl FieldPath {
    pub(super) fn push(&mut self, segment: PathSegment) {
        self.0.push(segment);
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    pub(super) fn violation(&self, problem: impl Into<Cow<'static, str>>) -> FieldViolation {
        FieldViolation::new(self.path(), problem)
    }

    /// A value of the wrong type.
    pub(super) fn unexpected(&self) -> FieldViolation {
        self.violation(format!("expected {}", self.expected()))
    }

    /// A field that the message does not have.
    pub(super) fn unknown_field(&self, message: &MessageDescriptor, name: &str) -> FieldViolation {
        let fields: Vec<_> = message.fields().collect();
        let names = fields.iter().map(FieldDescriptor::json_name);
        let hint = unknown_name::hint(name, names);
        let mut path = self.path();
        append(&mut path, &unknown_name::escaped(name));
        FieldViolation::new(path, format!("there is no such field{hint}"))
    }

    /// `filter.state`, `tokens[3].tokenId`
    fn path(&self) -> String {
        let mut path = String::new();
        for segment in &self.0 {
            match segment {
                PathSegment::Field(field) => append(&mut path, field.json_name()),
                PathSegment::Element(index) => {
                    write!(path, "[{index}]").expect("a String takes any text");
                }
                PathSegment::Entry => {}
            }
        }
        path
    }

    fn expected(&self) -> String {
        match &self.0[..] {
            [.., PathSegment::Field(field)] if field.is_list() => "a list".to_owned(),
            [.., PathSegment::Field(field)] if !field.is_map() => expected(&field.kind()),
            [.., PathSegment::Field(field), PathSegment::Element(_)] => expected(&field.kind()),
            [.., PathSegment::Field(field), PathSegment::Entry] => match field.kind() {
                Kind::Message(entry) => expected(&entry.map_entry_value_field().kind()),
                kind => expected(&kind),
            },
            _ => "an object".to_owned(),
        }
    }
}

fn append(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

pub(super) fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Double | Kind::Float => "a number".to_owned(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer_range(i32::MIN, i32::MAX),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer_range(i64::MIN, i64::MAX),
        Kind::Uint32 | Kind::Fixed32 => integer_range(u32::MIN, u32::MAX),
        Kind::Uint64 | Kind::Fixed64 => integer_range(u64::MIN, u64::MAX),
        Kind::Bool => "true or false".to_owned(),
        Kind::String => "a string".to_owned(),
        Kind::Bytes => "a string in base64".to_owned(),
        Kind::Enum(enumeration) => format!("a value of {}", enumeration.full_name()),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => {
                "an RFC 3339 time such as 2030-01-31T12:00:00Z".to_owned()
            }
            "google.protobuf.Duration" => "a number of seconds such as 3600s".to_owned(),
            name if message.package_name() == "google.protobuf" => format!("a {name}"),
            _ => "an object".to_owned(),
        },
    }
}

fn integer_range(least: impl std::fmt::Display, most: impl std::fmt::Display) -> String {
    format!("a whole number from {least} to {most}")
}
