//! `/metrics`, for Prometheus. It is served on an address of its own, which is for the operator's network
//! and asks for no credential; nothing there names a user, a token or an address.

use axum::{Router, extract::State, http::HeaderMap, response::IntoResponse, routing::get};
use http::{StatusCode, header};

use crate::{app::App, metrics::Format};

use super::super::endpoints::METRICS;

/// `GET` and `HEAD` of `/metrics`: Prometheus's text format, or `OpenMetrics` where `Accept` asks for it.
pub fn routes(app: App) -> Router {
    Router::new()
        .route(METRICS.path, get(metrics))
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                "here is /metrics, and nothing else\n",
            )
        })
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
