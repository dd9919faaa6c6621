//! The metric labels of a request. Values come from fixed lists, whatever clients send.

use axum::response::Response;

use crate::{
    metrics,
    server::{
        edge::{CallOutcome, Protocol},
        endpoints::{self, OTHER},
    },
};

/// The labels of a request for `path` that was answered with `response`.
pub(super) fn request(path: &str, response: &Response) -> metrics::Request {
    let Some(outcome) = response.extensions().get::<CallOutcome>() else {
        return metrics::Request {
            procedure: endpoints::web_label(path).into(),
            protocol: "http",
            code: response.status().as_str().to_owned().into(),
        };
    };
    metrics::Request {
        procedure: outcome
            .endpoint
            .map_or(OTHER, |endpoint| endpoint.label)
            .into(),
        protocol: outcome.protocol.map_or(OTHER, Protocol::name),
        code: outcome.code.map_or("ok", |code| code.as_str()).into(),
    }
}
