//! Connect's own encodings: the query of a GET, errors as JSON, the end of a stream.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;

use super::{Codec, Failure, HttpResponse, envelope, reply::decode_detail};

pub(crate) const END_OF_STREAM: u8 = 2;

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

pub(super) fn failure(reply: &HttpResponse) -> Failure {
    let failure = read(&serde_json::from_slice(&reply.body).unwrap());
    let status = u16::from(reply.head.status);
    assert_eq!(status, status_of(&failure.code), "{failure:?}");
    failure
}

/// The messages of a stream, and how it ended.
pub(super) fn stream(reply: &HttpResponse) -> (Vec<&[u8]>, Result<(), Failure>) {
    let mut frames = envelope::split(&reply.body);
    let (flags, end) = frames.pop().expect("a stream has an end");
    assert_eq!(flags, END_OF_STREAM);
    let end: Value = serde_json::from_slice(end).unwrap();
    let end = end.get("error").map_or(Ok(()), |error| Err(read(error)));
    (envelope::plain(frames), end)
}

fn read(error: &Value) -> Failure {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let code = text(&error["code"]);
    let details = error["details"].as_array().into_iter().flatten();
    let details = details.map(|detail| {
        let value = STANDARD_NO_PAD.decode(text(&detail["value"])).unwrap();
        decode_detail(&text(&detail["type"]), &value)
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
