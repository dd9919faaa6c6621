//! The result of a call, the same for all wires.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use prost::Message;
use serde_json::{Value, json};
use tonic_types::pb::{BadRequest, ErrorInfo, RetryInfo};

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The message; for a stream, a list of all its messages.
    pub(crate) result: Result<Value, Failure>,
    /// The messages of a stream, even if it ended with a failure.
    pub(crate) messages: Vec<Value>,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The undecoded response.
    pub(crate) body: Bytes,
}

#[derive(Clone, PartialEq)]
pub(crate) struct Failure {
    /// The code's name in the Connect protocol.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: Vec<Value>,
}

impl Reply {
    /// The reply.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        match self.result {
            Ok(message) => message,
            Err(failure) => panic!("refused: {failure:?}"),
        }
    }

    /// Asserts a refusal with this code and reason.
    #[track_caller]
    pub(crate) fn refused(self, code: &str, reason: &str) -> Failure {
        let failure = match self.result {
            Ok(message) => panic!("not refused: {message}"),
            Err(failure) => failure,
        };
        assert_eq!(
            (failure.code.as_str(), failure.reason()),
            (code, reason),
            "{failure:?}"
        );
        failure
    }

    /// Asserts a refusal of this field, which `BadRequest` names, too.
    #[track_caller]
    pub(crate) fn invalid_field(self, field: &str) -> Failure {
        let failure = self.refused("invalid_argument", "INVALID_FIELD");
        let bad_request = failure.detail("BadRequest").unwrap();
        assert_eq!(bad_request["violations"][0]["field"], field);
        assert_eq!(bad_request["violations"].as_array().unwrap().len(), 1);
        assert!(failure.message.starts_with(field), "{failure:?}");
        failure
    }

    /// The undecoded refusal without the request ID and the date: status, header fields, body.
    #[track_caller]
    pub(crate) fn raw_refusal(self) -> (StatusCode, Vec<(String, String)>, Bytes) {
        assert!(self.result.is_err(), "not refused: {:?}", self.result);
        (self.status, without_request_id(&self.headers), self.body)
    }

    #[track_caller]
    pub(crate) fn request_id(&self) -> String {
        self.headers["x-request-id"].to_str().unwrap().to_owned()
    }
}

/// The sorted header fields without those that differ between any two responses.
fn without_request_id(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut fields: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    fields.sort();
    fields
}

impl Failure {
    /// The reason that every error carries.
    #[track_caller]
    pub(crate) fn reason(&self) -> &str {
        let info = self.detail("ErrorInfo").expect("every error has a reason");
        assert_eq!(info["domain"], "hallpass");
        info["reason"].as_str().unwrap()
    }

    /// The only detail of this type.
    #[track_caller]
    pub(crate) fn detail(&self, name: &str) -> Option<&Value> {
        let mut details = self.details.iter().filter(|detail| detail["type"] == name);
        let detail = details.next();
        assert!(details.next().is_none(), "two of {name}");
        detail
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            message,
            details,
        } = self;
        write!(f, "{code}: {message} {}", Value::from(details.clone()))
    }
}

pub(super) fn decode_detail(name: &str, bytes: &[u8]) -> Value {
    match name {
        "google.rpc.ErrorInfo" => {
            let info = ErrorInfo::decode(bytes).unwrap();
            json!({
                "type": "ErrorInfo",
                "reason": info.reason,
                "domain": info.domain,
                "metadata": info.metadata,
            })
        }
        "google.rpc.BadRequest" => {
            let violations = BadRequest::decode(bytes).unwrap().field_violations;
            let violations = violations.into_iter().map(|violation| {
                json!({ "field": violation.field, "description": violation.description })
            });
            json!({ "type": "BadRequest", "violations": violations.collect::<Vec<_>>() })
        }
        "google.rpc.RetryInfo" => {
            let delay = RetryInfo::decode(bytes).unwrap().retry_delay.unwrap();
            assert_eq!(delay.nanos, 0, "whole seconds");
            json!({ "type": "RetryInfo", "seconds": delay.seconds })
        }
        other => panic!("{other} is not a detail that Hallpass sends"),
    }
}
