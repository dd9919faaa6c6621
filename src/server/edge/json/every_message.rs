//! Random objects for every message of ours: without duplicate fields they are read as prost-reflect reads them;
//! with a duplicate field, under either of its names, strict mode rejects them.

use std::{fmt::Write, sync::LazyLock};

use proptest::{collection::vec, prelude::*};
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor,
};

use super::{to_proto, well_known::is_well_known};

static MESSAGES: LazyLock<Vec<MessageDescriptor>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
    let ours = pool
        .all_messages()
        .filter(|message| message.package_name() == "hallpass.v1" && !message.is_map_entry());
    ours.filter(|message| message.fields().len() > 0).collect()
});

/// Deep enough for every message that is not recursive.
const MAX_DEPTH: usize = 4;

/// Writes an object according to `choices`; once they are used up, always takes the first option.
struct Writer<'a> {
    choices: std::slice::Iter<'a, u16>,
    /// Whether values may have a wrong type or form, and fields of one oneof may appear together.
    may_be_wrong: bool,
    /// How many fields to write before the one that is duplicated; `None`: no duplicate.
    twice_after: Option<usize>,
    json: String,
}

impl Writer<'_> {
    fn choose<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        let choice = self.choices.next().copied().unwrap_or_default();
        &from[usize::from(choice) % from.len()]
    }

    fn object(&mut self, message: &MessageDescriptor, depth: usize) {
        self.json.push('{');
        let mut twice = None;
        let mut is_first = true;
        let mut oneofs = Vec::new();
        let mut fields: Vec<_> = message.fields().collect();
        // The order of fields does not matter.
        let shift = *self.choose(&[0, 1, 2, 3]) % fields.len().max(1);
        fields.rotate_left(shift);
        for field in fields {
            let is_left_out = *self.choose(&[false, true]) || depth > MAX_DEPTH;
            let oneof = field.containing_oneof();
            let is_conflict = oneof.as_ref().is_some_and(|oneof| oneofs.contains(oneof));
            if is_left_out || is_conflict && !self.may_be_wrong {
                continue;
            }
            oneofs.extend(oneof);
            if !std::mem::take(&mut is_first) {
                self.json.push(',');
            }
            match self.twice_after {
                Some(0) => {
                    self.twice_after = None;
                    twice = Some(field.clone());
                }
                Some(more) => self.twice_after = Some(more - 1),
                None => {}
            }
            self.field(&field, depth);
        }
        // With other fields in between.
        if let Some(field) = twice {
            self.json.push(',');
            self.field(&field, depth);
        }
        self.json.push('}');
    }

    fn field(&mut self, field: &FieldDescriptor, depth: usize) {
        let name = *self.choose(&[field.json_name(), field.name()]);
        write!(self.json, "\"{name}\":").unwrap();
        if *self.choose(&[false, false, false, true]) {
            self.json.push_str("null");
        } else if field.is_list() {
            self.json.push('[');
            for n in 0..*self.choose(&[1, 0, 2]) {
                if n > 0 {
                    self.json.push(',');
                }
                self.value(&field.kind(), depth);
            }
            self.json.push(']');
        } else if let Kind::Message(entry) = field.kind()
            && entry.is_map_entry()
        {
            self.json.push('{');
            // Numbers are valid keys of every kind except bool.
            for key in *self.choose(&[&["\"7\":"][..], &[], &["\"7\":", ",\"8\":"]]) {
                self.json.push_str(key);
                self.value(&entry.map_entry_value_field().kind(), depth);
            }
            self.json.push('}');
        } else {
            self.value(&field.kind(), depth);
        }
    }

    fn value(&mut self, kind: &Kind, depth: usize) {
        let wrong = ["[]", "{}", "1.5", "-1", "\"2030-13-01T00:00:00Z\"", "tru"];
        if self.may_be_wrong && *self.choose(&[false, false, false, false, false, false, true]) {
            let wrong = *self.choose(&wrong);
            self.json.push_str(wrong);
            return;
        }
        let text = match kind {
            Kind::Message(message) if is_well_known(message) => match message.name() {
                "Timestamp" => *self.choose(&[
                    "\"2030-01-31T12:00:00Z\"",
                    "\"1969-12-31T23:59:59.999999999+01:00\"",
                ]),
                "Duration" => *self.choose(&["\"3600s\"", "\"-1.5s\""]),
                name => panic!("what is a {name}?"),
            },
            Kind::Message(message) => return self.object(message, depth + 1),
            Kind::Enum(values) => {
                let values: Vec<_> = values.values().collect();
                let value = self.choose(&values);
                let value = (value.name().to_owned(), value.number());
                if *self.choose(&[true, false]) {
                    write!(self.json, "\"{}\"", value.0).unwrap();
                } else {
                    write!(self.json, "{}", value.1).unwrap();
                }
                return;
            }
            Kind::Bool => *self.choose(&["true", "false"]),
            Kind::String => *self.choose(&["\"a\"", "\"\"", r#""\u00e9\n\"{""#]),
            Kind::Bytes => *self.choose(&["\"YQ==\"", "\"-_8\"", "\"\""]),
            Kind::Int64 | Kind::Uint64 | Kind::Uint32 | Kind::Int32 => {
                *self.choose(&["7", "0", "\"8\"", "9.0", "2147483647"])
            }
            kind => panic!("what is a {kind:?}?"),
        };
        self.json.push_str(text);
    }
}

/// The index of a message, and choices.
fn object() -> impl Strategy<Value = (usize, Vec<u16>)> {
    (0..MESSAGES.len(), vec(any::<u16>(), 0..64))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn object_without_duplicates_is_read_as_prost_reflect_reads_it(
        (message, choices) in object(),
        may_be_wrong: bool,
    ) {
        let message = &MESSAGES[message];
        let mut writer = Writer {
            choices: choices.iter(),
            may_be_wrong,
            twice_after: None,
            json: String::new(),
        };
        writer.object(message, 0);
        let json = writer.json;
        let mut deserializer = serde_json::Deserializer::from_str(&json);
        let strict = DeserializeOptions::new().deny_unknown_fields(true);
        let expected =
            DynamicMessage::deserialize_with_options(message.clone(), &mut deserializer, &strict);
        let got = to_proto(message, json.as_bytes(), true);
        let got = got.map(|proto| DynamicMessage::decode(message.clone(), proto).unwrap());
        prop_assert!(may_be_wrong || got.is_ok(), "{} {json}", message.name());
        let written = |message| serde_json::to_value(message).unwrap();
        let (got, expected) = (got.ok().map(written), expected.ok().map(written));
        prop_assert_eq!(got, expected, "{} {}", message.name(), json);
    }

    #[test]
    fn duplicate_field_is_rejected_at_any_depth(
        (message, choices) in object(),
        twice_after in 0_usize..4,
    ) {
        let message = &MESSAGES[message];
        let mut writer = Writer {
            choices: choices.iter(),
            may_be_wrong: false,
            twice_after: Some(twice_after),
            json: String::new(),
        };
        writer.object(message, 0);
        let Writer { twice_after, json, .. } = writer;
        let strict = to_proto(message, json.as_bytes(), true);
        match strict {
            Ok(_) => prop_assert!(twice_after.is_some(), "{} {json}", message.name()),
            Err(error) => {
                prop_assert!(twice_after.is_none(), "{} {json}", message.name());
                let message = error.message();
                prop_assert!(message.ends_with(": is given twice"), "{message}: {json}");
            }
        }
        // Nothing else is wrong with it.
        prop_assert!(to_proto(message, json.as_bytes(), false).is_ok(), "{} {json}", message.name());
    }
}
