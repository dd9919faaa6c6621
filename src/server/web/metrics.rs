//! `/metrics`, for Prometheus. It has an address of its own, for the operator's network, and takes no credential;
//! the metrics contain no user, token or address.

use axum::{Router, extract::State, http::HeaderMap, response::IntoResponse, routing::get};
use http::{StatusCode, header};

use crate::{app::App, metrics::Format};

use super::super::endpoints::METRICS;

/// `GET` and `HEAD` of `/metrics`: Prometheus's text format, or `OpenMetrics` where `Accept` asks for it.
pub fn routes(app: App) -> Router {
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
