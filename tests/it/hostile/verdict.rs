//! The result of a response in any protocol.

use base64::{Engine, engine::general_purpose::STANDARD};

use serde_json::Value;

use crate::client::{CODES, END_OF_STREAM, HttpResponse, split_frame};

/// `ok`, an error code of the caller's protocol, or a status like `http 415` outside of any protocol.
pub(super) fn verdict(reply: &HttpResponse) -> String {
    let content_type = text(reply, "content-type");
    let status = reply.head.status.as_u16();
    if content_type.starts_with("application/grpc") {
        assert_eq!(status, 200, "gRPC sends errors in trailers");
        return CODES[grpc_status(reply, content_type)].to_owned();
    }
    if content_type.starts_with("application/connect+") {
        assert_eq!(status, 200, "streams send errors at their end");
        let frames = split_frame(&reply.body);
        let (flags, end) = *frames.last().expect("a stream has an end");
        assert_eq!(flags, END_OF_STREAM);
        let end: Value = serde_json::from_slice(end).unwrap();
        return end.get("error").map_or("ok".to_owned(), code);
    }
    if status == 200 {
        return "ok".to_owned();
    }
    if content_type != "application/json" {
        return format!("http {status}");
    }
    code(&serde_json::from_slice(&reply.body).unwrap())
}

fn code(error: &Value) -> String {
    error["code"].as_str().unwrap().to_owned()
}

fn grpc_status(reply: &HttpResponse, content_type: &str) -> usize {
    let number = |text: &str| text.trim().parse().unwrap();
    if !content_type.starts_with("application/grpc-web") {
        let found = reply.head.headers.get("grpc-status");
        let status = found.or_else(|| reply.trailers.get("grpc-status"));
        return number(status.expect("a status").to_str().unwrap());
    }
    let body = if content_type.starts_with("application/grpc-web-text") {
        // Each frame of a stream has its own padding.
        let groups = reply.body.chunks(4);
        groups
            .flat_map(|four| STANDARD.decode(four).unwrap())
            .collect()
    } else {
        reply.body.to_vec()
    };
    let frames = split_frame(&body);
    let (flags, trailers) = *frames.last().expect("gRPC-web ends with its trailers");
    assert_eq!(flags, 0x80);
    let trailers = str::from_utf8(trailers).unwrap();
    let mut lines = trailers.lines();
    let status = lines.find_map(|line| line.strip_prefix("grpc-status:"));
    number(status.expect("a status"))
}

pub(super) fn text<'a>(reply: &'a HttpResponse, name: &str) -> &'a str {
    let value = reply.head.headers.get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

/// Whether the response blames the server or a backend, which must never happen for a client's
/// mistake.
pub(super) fn blames_the_server(reply: &HttpResponse) -> bool {
    let status = reply.head.status.as_u16();
    let code = verdict(reply);
    matches!(status, 500 | 502 | 503 | 504)
        || matches!(&*code, "internal" | "unknown" | "unavailable" | "data_loss")
}
