//! `ProtoJSON` to protobuf and back, by the descriptors.
//!
//! The edge translates, so that the handlers behind it see protobuf alone and no message needs a serde
//! mapping that is right. prost-reflect does the canonical mapping; what it lets pass is refused here: a
//! sixtieth second and a tenth fraction digit of a time. A refusal names the field and what was expected
//! there, never what was found: it may be a password.

mod fault;
mod time;

use bytes::Bytes;
use connectrpc_axum::ConnectError;
use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

pub(super) use time::holds_text_times;

use super::error;

/// Reads a JSON message and writes it as protobuf. `holds_times` tells whether times can be in it.
pub(super) fn to_proto(
    message: &MessageDescriptor,
    json: &[u8],
    holds_times: bool,
) -> Result<Bytes, ConnectError> {
    let Ok(dynamic) = read(message, json) else {
        return Err(explain(message, json));
    };
    if holds_times && let Some(fault) = find_bad_time(message, json) {
        return Err(error::malformed(fault.to_string()));
    }
    Ok(dynamic.encode_to_vec().into())
}

/// Reads a protobuf message and writes it as JSON.
pub(super) fn to_json(message: &MessageDescriptor, proto: &[u8]) -> Result<Bytes, ConnectError> {
    let unwritable = || error::internal("the reply cannot be written as JSON");
    let dynamic = DynamicMessage::decode(message.clone(), proto).map_err(|_| unwritable())?;
    let mut json = Vec::with_capacity(proto.len() * 2);
    let mut serializer = serde_json::Serializer::new(&mut json);
    dynamic
        .serialize_with_options(&mut serializer, &SerializeOptions::new())
        .map_err(|_| unwritable())?;
    Ok(json.into())
}

/// Unknown fields are ignored, so that a newer client can talk to an older server.
const READ: DeserializeOptions = DeserializeOptions::new().deny_unknown_fields(false);

fn read(message: &MessageDescriptor, json: &[u8]) -> serde_json::Result<DynamicMessage> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let dynamic =
        DynamicMessage::deserialize_with_options(message.clone(), &mut deserializer, &READ)?;
    deserializer.end()?;
    Ok(dynamic)
}

fn find_bad_time(message: &MessageDescriptor, json: &[u8]) -> Option<fault::Fault> {
    let value: Value = serde_json::from_slice(json).ok()?;
    fault::find(message, &value, &|leaf| time::is_well_written(&leaf))
}

/// Says why `json` is no such message. The error of serde itself is not used: it quotes the value.
fn explain(message: &MessageDescriptor, json: &[u8]) -> ConnectError {
    if json.iter().all(u8::is_ascii_whitespace) {
        return error::malformed("the body is empty where a JSON object is expected");
    }
    let value: Value = match serde_json::from_slice(json) {
        Ok(value) => value,
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return error::malformed(format!("not valid JSON at line {line}, column {column}"));
        }
    };
    let readable = |leaf: fault::Leaf<'_>| {
        DynamicMessage::deserialize_with_options(leaf.parent.clone(), leaf.alone(), &READ).is_ok()
    };
    error::malformed(match fault::find(message, &value, &readable) {
        Some(fault) => fault.to_string(),
        None => format!("not a valid {}", message.full_name()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::hallpass::v1::{CreateTokenRequest, ListTokensRequest, Token};
    use prost_reflect::DescriptorPool;

    fn descriptor(name: &str) -> MessageDescriptor {
        let pool = DescriptorPool::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
        pool.get_message_by_name(&format!("hallpass.v1.{name}"))
            .unwrap()
    }

    fn list(json: &str) -> Result<ListTokensRequest, String> {
        let proto = to_proto(&descriptor("ListTokensRequest"), json.as_bytes(), false);
        proto
            .map(|p| ListTokensRequest::decode(p).unwrap())
            .map_err(|e| e.message().unwrap_or_default().to_owned())
    }

    fn create(json: &str) -> Result<CreateTokenRequest, String> {
        let proto = to_proto(&descriptor("CreateTokenRequest"), json.as_bytes(), true);
        proto
            .map(|p| CreateTokenRequest::decode(p).unwrap())
            .map_err(|e| e.message().unwrap_or_default().to_owned())
    }

    fn refused(json: &str) -> String {
        create(json).err().unwrap()
    }

    fn expiry(text: &str) -> Result<(i64, i32), String> {
        let time = create(&format!(r#"{{"expireTime":"{text}"}}"#))?
            .expire_time
            .unwrap();
        Ok((time.seconds, time.nanos))
    }

    #[test]
    fn null_is_the_default_and_unknown_fields_are_ignored() {
        let request = list(r#"{"pageSize":null,"pageToken":null,"nope":{"a":[1]}}"#).unwrap();
        assert_eq!(request, ListTokensRequest::default());
    }

    #[test]
    fn whole_numbers_may_be_written_in_any_way() {
        for json in ["7", "7.0", "7e0", "\"7\"", "70e-1"] {
            assert_eq!(
                list(&format!(r#"{{"pageSize":{json}}}"#))
                    .unwrap()
                    .page_size,
                7,
                "{json}"
            );
        }
        for json in ["7.5", "-1", "4294967296", "true", "\"x\"", "[]"] {
            let error = list(&format!(r#"{{"pageSize":{json}}}"#)).unwrap_err();
            assert_eq!(
                error, "pageSize: expected a whole number from 0 to 4294967295",
                "{json}"
            );
        }
    }

    #[test]
    fn both_names_of_a_field_are_read() {
        assert_eq!(list(r#"{"page_size":7}"#).unwrap().page_size, 7);
        let twice = list(r#"{"pageSize":6,"page_size":7}"#).unwrap();
        assert_eq!(twice.page_size, 7, "the last one counts");
    }

    #[test]
    fn an_empty_body_is_no_message() {
        assert!(list("").unwrap_err().contains("empty"));
        assert!(list(" \n").unwrap_err().contains("empty"));
        assert!(list("{}").is_ok());
    }

    #[test]
    fn times_are_strict() {
        assert_eq!(expiry("2030-01-01T00:00:00Z").unwrap(), (1_893_456_000, 0));
        assert_eq!(
            expiry("2030-01-01T01:00:00.5+01:00").unwrap(),
            (1_893_456_000, 500_000_000)
        );
        assert_eq!(
            expiry("2030-01-01T00:00:00.123456789Z").unwrap().1,
            123_456_789
        );
        for text in [
            "2030-01-01T00:00:60Z",
            "2030-01-01T00:00:00.1234567890Z",
            "2030-01-01 00:00:00Z",
            "2030-01-01T00:00:00z",
            "2030-01-01t00:00:00Z",
            "2030-01-01T00:00:00",
            "2030-01-01T24:00:00Z",
            "2030-01-01T00:60:00Z",
            "2030-02-29T00:00:00Z",
            "2030-01-01T00:00:00+24:00",
            "2030-01-01T00:00:00+00:60",
            "0000-12-31T23:59:59Z",
            "10000-01-01T00:00:00Z",
            "",
            "never",
        ] {
            let error = expiry(text).unwrap_err();
            assert_eq!(
                error, "expireTime: expected an RFC 3339 time such as 2030-01-31T12:00:00Z",
                "{text}"
            );
        }
    }

    #[test]
    fn a_refusal_never_quotes_a_value() {
        for json in [
            r#"{"password":12345678,"username":["s3cr3t-in-list"]}"#,
            r#"{"note":{"s3cr3t":"s3cr3t"}}"#,
            r#"{"expireTime":"s3cr3t"}"#,
            r#"{"scopes":"s3cr3t"}"#,
            r#"{"scopes":["a",{"s3cr3t":1}]}"#,
            r#""s3cr3t""#,
            r#"["s3cr3t"]"#,
            r#"{"note":"s3cr3t"} s3cr3t"#,
            r#"{"note":"s3cr3t"#,
            r#"{"note":s3cr3t}"#,
            r#"{"s3cr3t":1,"note":"\ud800"}"#,
        ] {
            let error = refused(json);
            assert!(
                !error.contains("s3cr3t") && !error.contains("12345678"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert_eq!(refused(r#"{"note":1}"#), "note: expected a string");
        assert_eq!(
            refused(r#"{"scopes":["a",1]}"#),
            "scopes[1]: expected a string"
        );
        assert_eq!(refused(r#"{"scopes":{}}"#), "scopes: expected a list");
        assert_eq!(refused("[]"), "expected an object");
        assert_eq!(refused("{"), "not valid JSON at line 1, column 1");
    }

    #[test]
    fn replies_are_canonical() {
        let token = Token {
            id: "x".into(),
            create_time: Some(pbjson_types::Timestamp {
                seconds: 0,
                nanos: 1000,
            }),
            ..Token::default()
        };
        let json = to_json(&descriptor("Token"), &token.encode_to_vec()).unwrap();
        assert_eq!(
            &*json,
            br#"{"id":"x","createTime":"1970-01-01T00:00:00.000001Z"}"#
        );
    }
}
