//! Finds the first unknown field of a protobuf message. An older server that changes something must not drop a
//! newer client's restriction.

use prost::{
    DecodeError,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{Kind, MessageDescriptor};

use super::json::FieldViolation;

/// Rejects a message with an unknown field at any depth. Invalid protobuf is left to the decoder.
pub(super) fn refuse(message: &MessageDescriptor, proto: &[u8]) -> Result<(), FieldViolation> {
    match find(message, proto, &DecodeContext::default()) {
        Ok(Some(path)) => Err(FieldViolation::new(path, "there is no such field")),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// The path of the first unknown field, such as `filter.99`.
fn find(
    message: &MessageDescriptor,
    mut proto: &[u8],
    context: &DecodeContext,
) -> Result<Option<String>, DecodeError> {
    while !proto.is_empty() {
        let (number, wire_type) = decode_key(&mut proto)?;
        let Some(field) = message.get_field(number) else {
            return Ok(Some(number.to_string()));
        };
        match field.kind() {
            Kind::Message(inner) if wire_type == WireType::LengthDelimited => {
                let length = decode_varint(&mut proto)?;
                let within = usize::try_from(length)
                    .ok()
                    .and_then(|end| proto.split_at_checked(end));
                let Some((value, rest)) = within else {
                    // Truncated: decoding will fail.
                    return Ok(None);
                };
                if let Some(path) = find(&inner, value, context)? {
                    return Ok(Some(format!("{}.{path}", field.json_name())));
                }
                proto = rest;
            }
            _ => skip_field(wire_type, number, &mut proto, context.clone())?,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{
        hallpass::v1::{LeakedToken, RevokeLeakedTokensRequest, RevokeTokensRequest, TokenFilter},
        pool,
    };
    use pbjson_types::Timestamp;
    use prost::Message;

    const UNKNOWN: &[u8] = &[0x9a, 0x06, 0x01, b'x']; // field 99

    fn path(name: &str, proto: &[u8]) -> Option<String> {
        let message = pool().get_message_by_name(&format!("hallpass.v1.{name}"));
        let refused = refuse(&message.unwrap(), proto).err();
        refused.map(|violation| violation.into_error().message().to_owned())
    }

    fn message(path: &str) -> String {
        format!("{path}: there is no such field")
    }

    #[test]
    fn unknown_field_is_found_at_any_depth() {
        let known = RevokeTokensRequest {
            filter: Some(TokenFilter {
                scope: "a".to_owned(),
                unused_since: Some(Timestamp {
                    seconds: 1,
                    nanos: 2,
                }),
                ..TokenFilter::default()
            }),
            tokens: vec!["b".to_owned()],
            dry_run: true,
            ..RevokeTokensRequest::default()
        };
        let known = known.encode_to_vec();
        assert_eq!(path("RevokeTokensRequest", &known), None);
        assert_eq!(path("RevokeTokensRequest", UNKNOWN), Some(message("99")));
        let after = [&known, UNKNOWN].concat();
        assert_eq!(path("RevokeTokensRequest", &after), Some(message("99")));
        let in_filter = [&[0x0a, 4], UNKNOWN].concat();
        assert_eq!(
            path("RevokeTokensRequest", &in_filter),
            Some(message("filter.99"))
        );
        let in_time = [&[0x0a, 6, 0x32, 4], UNKNOWN].concat();
        assert_eq!(
            path("RevokeTokensRequest", &in_time),
            Some(message("filter.unusedSince.99"))
        );
        let first = LeakedToken::default();
        let leaked = RevokeLeakedTokensRequest {
            tokens: vec![first],
            dry_run: false,
        };
        let second = [&*leaked.encode_to_vec(), &[0x0a, 4], UNKNOWN].concat();
        assert_eq!(
            path("RevokeLeakedTokensRequest", &second),
            Some(message("tokens.99"))
        );
    }

    #[test]
    fn invalid_protobuf_is_left_to_the_decoder() {
        for proto in [
            &[0xff][..],
            &[0x0a, 9, 0],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x0c],
            &[0x00],
        ] {
            assert_eq!(path("RevokeTokensRequest", proto), None, "{proto:?}");
        }
    }
}
