//! Metrics: how a request is counted, and the `/metrics` endpoint for Prometheus.
//!
//! `/metrics` has an address of its own, for the operator's network, and takes no credential; the metrics contain no
//! user, token or address. Label values come from fixed lists, whatever clients send.

use axum::{
    Router,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};

use crate::{
    app::App,
    metrics::{Format, Request},
};

use super::{
    edge::{CallOutcome, Protocol},
    endpoints::{self, METRICS, OTHER},
};

/// The labels of a request for `path` that was answered with `response`.
pub(super) fn labels(path: &str, response: &Response) -> Request {
    let Some(outcome) = response.extensions().get::<CallOutcome>() else {
        return Request {
            procedure: endpoints::web_label(path).into(),
            protocol: "http",
            code: response.status().as_str().to_owned().into(),
        };
    };
    Request {
        procedure: outcome
            .endpoint
            .map_or(OTHER, |endpoint| endpoint.label)
            .into(),
        protocol: outcome.protocol.map_or(OTHER, Protocol::name),
        code: outcome.code.map_or("ok", |code| code.as_str()).into(),
    }
}

/// `GET` and `HEAD` of `/metrics`: Prometheus's text format, or `OpenMetrics` where `Accept` asks for it.
pub(super) fn routes(app: App) -> Router {
    Router::new()
        .route(METRICS.path, get(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, "only /metrics is served here\n"))
        .with_state(app)
}

async fn metrics(State(app): State<App>, headers: HeaderMap) -> impl IntoResponse {
    app.recount_tokens().await;
    let accept = headers.get(header::ACCEPT);
    let accept = accept
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let format = Format::accepted(accept);
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, app.metrics().encode(format))
}
