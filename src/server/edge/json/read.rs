//! Reads `ProtoJSON` and writes protobuf in one pass, driven by descriptors.
//!
//! Strict mode rejects unknown and duplicate names: they may be a misspelt restriction, or one that is overridden.
//! Lenient mode ignores unknown fields and unknown enum values, and merges duplicate fields as protobuf does.

use std::{collections::HashSet, fmt};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    field_path::{PathSegment, Reader},
    scalar::{Scalar, put_bytes},
    well_known::{self, WellKnown},
};

/// A message, without the key and length that precede an embedded one.
pub(super) struct Message<'a> {
    pub(super) reader: &'a mut Reader,
    pub(super) of: &'a MessageDescriptor,
    pub(super) out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self {
            reader,
            of: message,
            out,
        } = self;
        let mut seen = Seen::default();
        while let Some(field) = map.next_key_seed(FieldName { reader, message })? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            reader.path.push(PathSegment::Field(field.clone()));
            if reader.is_strict && seen.contains(&field) {
                return Err(reader.fail("is given twice"));
            }
            let is_set = map.next_value_seed(Field {
                reader,
                of: &field,
                out,
            })?;
            if is_set && let Some(other) = seen.find_oneof_conflict(&field) {
                let problem = format!("cannot be combined with \"{}\"", other.json_name());
                return Err(reader.fail(problem));
            }
            seen.note(&field, is_set);
            reader.path.pop();
        }
        Ok(())
    }
}

/// Numbers of the fields seen so far, and whether each has a value (null does not count).
#[derive(Default)]
struct Seen(Vec<(u32, bool)>);

impl Seen {
    fn contains(&self, field: &FieldDescriptor) -> bool {
        self.0.iter().any(|(number, _)| *number == field.number())
    }

    fn note(&mut self, field: &FieldDescriptor, is_set: bool) {
        self.0.push((field.number(), is_set));
    }

    /// Another field of the same oneof that has a value.
    fn find_oneof_conflict(&self, field: &FieldDescriptor) -> Option<FieldDescriptor> {
        let oneof = field.containing_oneof()?;
        let mut others = oneof.fields().filter(|other| other != field);
        others.find(|other| self.0.contains(&(other.number(), true)))
    }
}

/// The name of a field, in either form; `None` if it is unknown.
struct FieldName<'a> {
    reader: &'a mut Reader,
    message: &'a MessageDescriptor,
}

impl<'de> DeserializeSeed<'de> for FieldName<'_> {
    type Value = Option<FieldDescriptor>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldName<'_> {
    type Value = Option<FieldDescriptor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let field = (self.message.get_field_by_json_name(name))
            .or_else(|| self.message.get_field_by_name(name));
        if field.is_none() && self.reader.is_strict {
            let violation = self.reader.path.unknown_field(self.message, name);
            self.reader.violation = Some(violation);
            return Err(E::custom(""));
        }
        Ok(field)
    }
}

/// The value of a field. Returns whether it has one: null does not count.
struct Field<'a> {
    reader: &'a mut Reader,
    of: &'a FieldDescriptor,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        let Self {
            reader,
            of: field,
            out,
        } = self;
        let value = Value {
            reader,
            kind: &field.kind(),
            number: field.number(),
            out,
        };
        if field.is_list() {
            from.deserialize_any(List(value))?;
        } else if field.is_map() {
            from.deserialize_any(Map(value))?;
        } else {
            value.deserialize(from)?;
        }
        Ok(true)
    }
}

/// One value of a field, an element or a map entry.
struct Value<'a> {
    reader: &'a mut Reader,
    kind: &'a Kind,
    number: u32,
    out: &'a mut Vec<u8>,
}

impl Value<'_> {
    fn reborrow(&mut self) -> Value<'_> {
        Value {
            reader: self.reader,
            kind: self.kind,
            number: self.number,
            out: self.out,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        let Self {
            reader,
            kind,
            number,
            out,
        } = self;
        let Kind::Message(message) = kind else {
            return from.deserialize_any(Scalar {
                reader,
                kind,
                number,
                out,
            });
        };
        let mut inner = Vec::new();
        if well_known::is_well_known(message) {
            let is_strict = reader.is_strict;
            inner = WellKnown { message, is_strict }.deserialize(from)?;
        } else {
            let out = &mut inner;
            let message = Message {
                reader,
                of: message,
                out,
            };
            message.deserialize(from)?;
        }
        put_bytes(number, &inner, out);
        Ok(())
    }
}

struct List<'a>(Value<'a>);

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut element = self.0;
        for index in 0.. {
            element.reader.path.push(PathSegment::Element(index));
            let is_there = list.next_element_seed(element.reborrow())?.is_some();
            element.reader.path.pop();
            if !is_there {
                break;
            }
        }
        Ok(())
    }
}

struct Map<'a>(Value<'a>);

impl<'de> Visitor<'de> for Map<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Value {
            reader,
            kind,
            number,
            out,
        } = self.0;
        let entry = kind.as_message().expect("a map's kind is its entry");
        let (key_field, value_field) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let (key_kind, value_kind) = (key_field.kind(), value_field.kind());
        let mut keys = HashSet::new();
        reader.path.push(PathSegment::Entry);
        while let Some(key) = map.next_key::<String>()? {
            let mut inner = Vec::new();
            let scalar = Scalar {
                reader,
                kind: &key_kind,
                number: key_field.number(),
                out: &mut inner,
            };
            scalar.put_key::<A::Error>(&key)?;
            map.next_value_seed(Value {
                reader,
                kind: &value_kind,
                number: value_field.number(),
                out: &mut inner,
            })?;
            put_bytes(number, &inner, out);
            if !keys.insert(key) && reader.is_strict {
                return Err(reader.fail("has a key that is given twice"));
            }
        }
        reader.path.pop();
        Ok(())
    }
}
