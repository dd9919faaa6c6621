//! What only Connect has: the query of a GET, errors as JSON.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;

use super::{Codec, Failure, Reply, details};

pub(super) fn query(codec: Codec, message: &[u8]) -> String {
    match codec {
        Codec::Json => {
            let message = percent_encode(message, NON_ALPHANUMERIC);
            format!("connect=v1&encoding=json&message={message}")
        }
        Codec::Proto => {
            let message = URL_SAFE_NO_PAD.encode(message);
            format!("connect=v1&encoding=proto&base64=1&message={message}")
        }
    }
}

pub(super) fn failure(reply: &Reply) -> Failure {
    let error: Value = serde_json::from_slice(&reply.body).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let code = text(&error["code"]);
    assert_eq!(u16::from(reply.head.status), status_of(&code), "{code}");
    let details = error["details"].as_array().into_iter().flatten();
    let details = details.map(|detail| {
        let value = STANDARD_NO_PAD.decode(text(&detail["value"])).unwrap();
        details::decode(&text(&detail["type"]), &value)
    });
    Failure {
        message: text(&error["message"]),
        details: details.collect(),
        code,
    }
}

/// The Connect protocol's table of HTTP statuses, for the codes that Hallpass uses.
fn status_of(code: &str) -> u16 {
    match code {
        "invalid_argument" | "failed_precondition" => 400,
        "unauthenticated" => 401,
        "permission_denied" => 403,
        "not_found" => 404,
        "already_exists" => 409,
        "resource_exhausted" => 429,
        "internal" => 500,
        "unimplemented" => 501,
        "unavailable" => 503,
        "deadline_exceeded" => 504,
        other => panic!("the code {other} is not one that Hallpass uses"),
    }
}
