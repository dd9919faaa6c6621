//! Scalars and enum values: their forms in JSON and their encoding in protobuf.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{EnumDescriptor, Kind};
use serde::de::{Error, Unexpected, Visitor};

use super::field_path::{Reader, expected};
use crate::server::unknown_name;

const BASE64: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, BASE64);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, BASE64);

/// A scalar of this kind, written with its field key.
pub(super) struct Scalar<'a> {
    pub(super) reader: &'a mut Reader,
    pub(super) kind: &'a Kind,
    pub(super) number: u32,
    pub(super) out: &'a mut Vec<u8>,
}

impl Visitor<'_> for Scalar<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&expected(self.kind))
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        match self.kind {
            Kind::Bool => {
                self.put_varint(value.into());
                Ok(())
            }
            _ => Err(self.mismatch()),
        }
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.put_number(value.into())
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        self.put_number(value.into())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        if matches!(self.kind, Kind::Double | Kind::Float) {
            return self.put_float(value);
        }
        // i128 holds every integer kind; larger values saturate and are then rejected.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the value has no fraction, and saturates"
        )]
        let whole = (value.fract() == 0.0).then_some(value as i128);
        match whole {
            Some(whole) if !matches!(self.kind, Kind::Enum(_)) => self.put_number(whole),
            _ => Err(self.mismatch()),
        }
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        match self.kind {
            Kind::String => {
                put_bytes(self.number, text.as_bytes(), self.out);
                Ok(())
            }
            Kind::Bytes => {
                let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
                let bytes = bytes.map_err(|_| self.mismatch())?;
                put_bytes(self.number, &bytes, self.out);
                Ok(())
            }
            Kind::Enum(values) => match values.get_value_by_name(text) {
                Some(value) => self.put_number(value.number().into()),
                None if self.reader.is_strict => Err(self.unknown_value(values, text)),
                None => Ok(()),
            },
            Kind::Double | Kind::Float => match text {
                "NaN" => self.put_float(f64::NAN),
                "Infinity" => self.put_float(f64::INFINITY),
                "-Infinity" => self.put_float(f64::NEG_INFINITY),
                _ => match text.parse::<f64>() {
                    Ok(number) if number.is_finite() => self.put_float(number),
                    _ => Err(self.mismatch()),
                },
            },
            Kind::Bool | Kind::Message(_) => Err(self.mismatch()),
            _ => match text.parse() {
                Ok(number) => self.put_number(number),
                Err(_) => Err(self.mismatch()),
            },
        }
    }
}

impl Scalar<'_> {
    /// A map key, which JSON writes as a string whatever its kind.
    pub(super) fn put_key<E: Error>(mut self, key: &str) -> Result<(), E> {
        match (self.kind, key) {
            (Kind::Bool, "true") => self.put_varint(1),
            (Kind::Bool, "false") => self.put_varint(0),
            _ => self.visit_str(key)?,
        }
        Ok(())
    }

    fn put_number<E: Error>(&mut self, number: i128) -> Result<(), E> {
        match self.kind {
            Kind::Int32 | Kind::Enum(_) => {
                let number = i64::from(self.narrow::<i32, E>(number)?);
                self.put_varint(number.cast_unsigned());
            }
            Kind::Int64 => {
                let number: i64 = self.narrow(number)?;
                self.put_varint(number.cast_unsigned());
            }
            Kind::Uint32 => {
                let number: u32 = self.narrow(number)?;
                self.put_varint(number.into());
            }
            Kind::Uint64 => {
                let number = self.narrow(number)?;
                self.put_varint(number);
            }
            Kind::Sint32 => {
                let number = i64::from(self.narrow::<i32, E>(number)?);
                self.put_varint(zigzag(number));
            }
            Kind::Sint64 => {
                let number = self.narrow(number)?;
                self.put_varint(zigzag(number));
            }
            Kind::Fixed32 => {
                let number: u32 = self.narrow(number)?;
                self.put_fixed(WireType::ThirtyTwoBit, &number.to_le_bytes());
            }
            Kind::Sfixed32 => {
                let number: i32 = self.narrow(number)?;
                self.put_fixed(WireType::ThirtyTwoBit, &number.to_le_bytes());
            }
            Kind::Fixed64 => {
                let number: u64 = self.narrow(number)?;
                self.put_fixed(WireType::SixtyFourBit, &number.to_le_bytes());
            }
            Kind::Sfixed64 => {
                let number: i64 = self.narrow(number)?;
                self.put_fixed(WireType::SixtyFourBit, &number.to_le_bytes());
            }
            #[expect(
                clippy::cast_precision_loss,
                reason = "JSON numbers are read the same way"
            )]
            Kind::Double | Kind::Float => self.put_float(number as f64)?,
            Kind::Bool | Kind::String | Kind::Bytes | Kind::Message(_) => {
                return Err(self.mismatch());
            }
        }
        Ok(())
    }

    fn put_float<E: Error>(&mut self, number: f64) -> Result<(), E> {
        if matches!(self.kind, Kind::Double) {
            self.put_fixed(WireType::SixtyFourBit, &number.to_le_bytes());
            return Ok(());
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "values out of range are rejected"
        )]
        let narrow = number as f32;
        if number.is_finite() && !narrow.is_finite() {
            return Err(self.mismatch());
        }
        self.put_fixed(WireType::ThirtyTwoBit, &narrow.to_le_bytes());
        Ok(())
    }

    fn put_varint(&mut self, number: u64) {
        encode_key(self.number, WireType::Varint, self.out);
        encode_varint(number, self.out);
    }

    fn put_fixed(&mut self, wire_type: WireType, bytes: &[u8]) {
        encode_key(self.number, wire_type, self.out);
        self.out.extend_from_slice(bytes);
    }

    fn narrow<N: TryFrom<i128>, E: Error>(&self, number: i128) -> Result<N, E> {
        N::try_from(number).map_err(|_| self.mismatch())
    }

    /// The reader's path tells which type was expected.
    fn mismatch<E: Error>(&self) -> E {
        E::invalid_type(Unexpected::Other("another value"), self)
    }

    fn unknown_value<E: Error>(&mut self, values: &EnumDescriptor, name: &str) -> E {
        let values: Vec<_> = values.values().collect();
        let names = values.iter().map(prost_reflect::EnumValueDescriptor::name);
        let hint = match unknown_name::find_closest(name, names.clone()) {
            Some(closest) => format!(": did you mean \"{closest}\"?"),
            None => format!(": {}", names.collect::<Vec<_>>().join(", ")),
        };
        let problem = format!("expected {}{hint}", expected(self.kind));
        self.reader.fail(problem)
    }
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

pub(super) fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
