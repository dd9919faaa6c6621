//! Well-known types, whose JSON is not an object of their fields. prost-reflect maps them; `time` rejects the
//! timestamps and durations that it is too lenient about.

use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IntoDeserializer, Visitor, value::StrDeserializer,
};

use super::time;

pub(super) fn is_well_known(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

/// The encoded bytes of a well-known message.
pub(super) struct WellKnown<'a> {
    pub(super) message: &'a MessageDescriptor,
    pub(super) is_strict: bool,
}

impl WellKnown<'_> {
    fn read<'de, D: Deserializer<'de>>(&self, from: D) -> Result<Vec<u8>, D::Error> {
        let options = DeserializeOptions::new().deny_unknown_fields(self.is_strict);
        let message = self.message.clone();
        let message = DynamicMessage::deserialize_with_options(message, from, &options)?;
        Ok(message.encode_to_vec())
    }
}

impl<'de> DeserializeSeed<'de> for WellKnown<'_> {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<u8>, D::Error> {
        match self.message.full_name() {
            "google.protobuf.Timestamp" => from.deserialize_str(Time(self, time::is_timestamp)),
            "google.protobuf.Duration" => from.deserialize_str(Time(self, time::is_duration)),
            _ => self.read(from),
        }
    }
}

/// A timestamp or duration, if its text passes the check.
struct Time<'a>(WellKnown<'a>, fn(&str) -> bool);

impl Visitor<'_> for Time<'_> {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a time")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        let Self(message, is_well_written) = self;
        if !is_well_written(text) {
            return Err(E::custom(""));
        }
        let text: StrDeserializer<'_, E> = text.into_deserializer();
        message.read(text)
    }
}
