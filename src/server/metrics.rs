//! Metrics: how a request is counted, and the `/metrics` endpoint for Prometheus.
//!
//! `/metrics` has an address of its own, for the operator's network, and takes no credential; the metrics contain no
//! user, token or address. Label values come from fixed lists, whatever clients send.

use axum::{Router, extract::State, http::HeaderMap, response::IntoResponse, routing::get};
use http::{StatusCode, header};

use crate::{
    app::App,
    metrics::{Format, Request},
};

use super::{
    context::LogFields,
    endpoints::{METRICS, OTHER},
};

/// The labels of a request.
pub(super) fn labels(fields: LogFields, status: StatusCode) -> Request {
    let endpoint = fields.endpoint.map_or(OTHER, |endpoint| endpoint.label);
    match fields.call {
        None => Request {
            procedure: endpoint.into(),
            protocol: "http",
            code: status.as_str().to_owned().into(),
        },
        Some(call) => Request {
            procedure: call.protocol.map_or(OTHER, |_| endpoint).into(),
            protocol: call.protocol.unwrap_or(OTHER),
            code: call.error.map_or("ok", |code| code.as_str()).into(),
        },
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
