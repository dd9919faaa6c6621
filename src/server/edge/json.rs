//! Converts between `ProtoJSON` and protobuf, driven by descriptors.
//!
//! The edge does this so that handlers only see protobuf and messages need no serde mappings. Requests are read in
//! one pass, strictly if they change something; prost-reflect writes the replies. Errors name the field and the
//! expected type, but never quote the value: it may be a password.

#[cfg(test)]
mod every_kind;
#[cfg(test)]
mod every_message;
mod field_path;
mod read;
mod scalar;
mod time;
mod well_known;

use bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use serde::de::DeserializeSeed;

pub(super) use field_path::FieldViolation;

use super::error;
use crate::server::error::ApiError;

/// Converts a JSON message to protobuf. In strict mode unknown fields and values are rejected.
pub(super) fn to_proto(
    message: &MessageDescriptor,
    json: &[u8],
    is_strict: bool,
) -> Result<Bytes, ApiError> {
    let mut reader = field_path::Reader {
        is_strict,
        path: field_path::FieldPath::default(),
        violation: None,
    };
    let mut out = Vec::with_capacity(json.len());
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let reading = read::Message {
        reader: &mut reader,
        of: message,
        out: &mut out,
    };
    let read = reading.deserialize(&mut deserializer);
    match read.and_then(|()| deserializer.end()) {
        Ok(()) => Ok(out.into()),
        Err(error) => Err(explain(json, &error, reader)),
    }
}

/// Explains why the message cannot be read. serde's own message is not used: it quotes the value.
fn explain(json: &[u8], error: &serde_json::Error, reader: field_path::Reader) -> ApiError {
    if error.is_data() {
        let violation = reader.violation.unwrap_or_else(|| reader.path.unexpected());
        return violation.into_error();
    }
    if json.iter().all(u8::is_ascii_whitespace) {
        return error::malformed("the body is empty where a JSON object is expected");
    }
    let (line, column) = (error.line(), error.column());
    error::malformed(format!("not valid JSON at line {line}, column {column}"))
}

/// Converts a protobuf message to JSON.
pub(super) fn to_json(message: &MessageDescriptor, proto: &[u8]) -> Result<Bytes, ApiError> {
    let unwritable = || error::internal("the reply cannot be written as JSON");
    let dynamic = DynamicMessage::decode(message.clone(), proto).map_err(|_| unwritable())?;
    let mut json = Vec::with_capacity(proto.len() * 2);
    let mut serializer = serde_json::Serializer::new(&mut json);
    dynamic
        .serialize_with_options(&mut serializer, &SerializeOptions::new())
        .map_err(|_| unwritable())?;
    Ok(json.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::hallpass::v1::{
        CreateTokenRequest, ListTokensRequest, ListUsersRequest, Token,
    };
    use connectrpc_axum::Code;
    use prost::Message;
    use prost_reflect::DescriptorPool;
    use tonic_types::pb::BadRequest;

    fn descriptor(name: &str) -> MessageDescriptor {
        let pool = DescriptorPool::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
        pool.get_message_by_name(&format!("hallpass.v1.{name}"))
            .unwrap()
    }

    /// Reads leniently, as for a procedure without side effects.
    fn list(json: &str) -> Result<ListTokensRequest, String> {
        let proto = to_proto(&descriptor("ListTokensRequest"), json.as_bytes(), false);
        proto
            .map(|p| ListTokensRequest::decode(p).unwrap())
            .map_err(|e| e.message().to_owned())
    }

    fn create(json: &str) -> Result<CreateTokenRequest, String> {
        let proto = to_proto(&descriptor("CreateTokenRequest"), json.as_bytes(), true);
        proto
            .map(|p| CreateTokenRequest::decode(p).unwrap())
            .map_err(|e| e.message().to_owned())
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
    fn strict_mode_rejects_unknown_names_and_suggests_the_closest() {
        for (name, json, field, problem) in [
            (
                "CreateTokenRequest",
                r#"{"scope":["deploy"]}"#,
                "scope",
                "there is no such field: did you mean \"scopes\"?",
            ),
            (
                "CreateTokenRequest",
                r#"{"scopes":["a"],"nonsense":{"a":[1]}}"#,
                "nonsense",
                "there is no such field",
            ),
            (
                "CreateTokenRequest",
                r#"{"scopes":["a"],"scopes":[]}"#,
                "scopes",
                "is given twice",
            ),
            (
                "CreateTokenRequest",
                r#"{"scopes":["a"],"scopes":null}"#,
                "scopes",
                "is given twice",
            ),
            (
                "CreateTokenRequest",
                r#"{"scopes":null,"scopes":["a"]}"#,
                "scopes",
                "is given twice",
            ),
            (
                "CreateTokenRequest",
                r#"{"expireTime":null,"expire_time":null}"#,
                "expireTime",
                "is given twice",
            ),
            (
                "RevokeTokensRequest",
                r#"{"dryrun":true}"#,
                "dryrun",
                "there is no such field: did you mean \"dryRun\"?",
            ),
            (
                "RevokeTokensRequest",
                r#"{"filter":{"user":"x"}}"#,
                "filter.user",
                "there is no such field: did you mean \"userId\"?",
            ),
            (
                "RevokeTokensRequest",
                r#"{"filter":{"scope":"a","scope":""}}"#,
                "filter.scope",
                "is given twice",
            ),
            (
                "RevokeTokensRequest",
                r#"{"filter":{"state":"DISABLED"}}"#,
                "filter.state",
                "expected a value of hallpass.v1.TokenState: did you mean \"TOKEN_STATE_DISABLED\"?",
            ),
            (
                "RevokeLeakedTokensRequest",
                r#"{"tokens":[{},{"token":"x"}]}"#,
                "tokens[1].token",
                "there is no such field: did you mean \"tokenId\"?",
            ),
            (
                "VerifyTokenRequest",
                r#"{"requiredScope":["a"]}"#,
                "requiredScope",
                "there is no such field: did you mean \"requiredScopes\"?",
            ),
            (
                "UpdateUserServerRoleRequest",
                r#"{"serverRole":"xyz"}"#,
                "serverRole",
                "expected a value of hallpass.v1.ServerRole: SERVER_ROLE_UNSPECIFIED, SERVER_ROLE_ADMIN, SERVER_ROLE_MEMBER",
            ),
            (
                "ListUsersRequest",
                r#"{"userTypeFilters":[1,"BOT"]}"#,
                "userTypeFilters[1]",
                "expected a value of hallpass.v1.UserType: USER_TYPE_UNSPECIFIED, USER_TYPE_PERSONAL, USER_TYPE_MACHINE",
            ),
        ] {
            let error = to_proto(&descriptor(name), json.as_bytes(), true).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert_eq!(error.message(), format!("{field}: {problem}"), "{json}");
            let violation =
                BadRequest::decode(error.to_connect(true).details()[1].value()).unwrap();
            assert_eq!(violation.field_violations[0].field, field);
            assert_eq!(violation.field_violations[0].description, problem);
        }
    }

    #[test]
    fn lenient_mode_ignores_unknown_enum_values() {
        let json = br#"{"userStateFilter":"NOPE","userTypeFilters":["NOPE",2]}"#;
        let read = to_proto(&descriptor("ListUsersRequest"), json, false).unwrap();
        let read = ListUsersRequest::decode(read).unwrap();
        assert_eq!(
            (read.user_state_filter, &*read.user_type_filters),
            (0, &[2][..])
        );
        assert!(to_proto(&descriptor("ListUsersRequest"), json, true).is_err());
    }

    #[test]
    fn null_is_the_default_and_unknown_fields_are_ignored() {
        let request = list(r#"{"pageSize":null,"pageToken":null,"nope":{"a":[1]}}"#).unwrap();
        assert_eq!(request, ListTokensRequest::default());
    }

    #[test]
    fn integers_may_be_written_in_any_notation() {
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
    fn empty_body_is_not_a_message() {
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
    fn error_never_quotes_a_value() {
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
            r#"{"expires":1,"note":"s3cr3t"}"#,
            r#"{"note":"\ud800s3cr3t"}"#,
        ] {
            let error = refused(json);
            assert!(
                !error.contains("s3cr3t") && !error.contains("12345678"),
                "{error}"
            );
        }
    }

    #[test]
    fn error_names_the_field() {
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
