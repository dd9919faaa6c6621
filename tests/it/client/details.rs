//! The details of errors, as JSON that can be compared.

use prost::Message;
use serde_json::{Value, json};
use tonic_types::pb::{BadRequest, ErrorInfo, RetryInfo};

pub(super) fn decode(name: &str, bytes: &[u8]) -> Value {
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
