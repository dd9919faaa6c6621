//! Probes for orchestrators and load balancers.
//!
//! `/healthz` tells that the process is running; it does not touch the store, so that an unavailable database does
//! not restart every instance. `/readyz` tells whether requests should be sent here. What makes the server ready is
//! not known here: the check is passed in.

use std::{future::Future, time::Duration};

use axum::{Router, response::IntoResponse, routing::get};
use http::{HeaderName, StatusCode, header};

use super::super::endpoints::{HEALTHZ, READYZ};

/// Whether requests should be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can serve.
    Ready,
    /// It can still verify and revoke tokens, but write nothing else.
    DiskFull,
    /// It can still verify tokens; the answers to changes are unavailable, since the audit sink takes no rows.
    AuditSinkFailing,
    /// It cannot serve.
    NotReady,
}

/// `GET` and `HEAD` of `/healthz` (200 `ok`) and `/readyz` (200 `ready`, 503 `not ready`). A full disk is reported,
/// but with 200: an instance that the load balancer has removed verifies no tokens.
///
/// `ready` is called once per probe, often each second, so it must be cheap. It counts as not ready after `within`.
pub fn routes<F, Fut>(ready: F, within: Duration) -> Router
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Readiness> + Send + 'static,
{
    let readiness = async move || match tokio::time::timeout(within, ready()).await {
        Ok(Readiness::Ready) => answer(StatusCode::OK, "ready"),
        Ok(Readiness::DiskFull) => answer(
            StatusCode::OK,
            "ready, but the disk is full: tokens are checked and revoked, and nothing else is changed",
        ),
        Ok(Readiness::AuditSinkFailing) => answer(
            StatusCode::OK,
            "ready, but the audit sink fails: tokens are checked, and the answers to changes are unavailable",
        ),
        Ok(Readiness::NotReady) | Err(_) => answer(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    Router::new()
        .route(HEALTHZ.path, get(async || answer(StatusCode::OK, "ok")))
        .route(READYZ.path, get(readiness))
}

/// Probe results must not be cached.
fn answer(status: StatusCode, word: &'static str) -> impl IntoResponse {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, HEADERS, word)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use axum::body::{Body, to_bytes};
    use http::{Method, Request, Response};
    use tower::ServiceExt;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    async fn ask(routes: Router, method: Method, path: &str) -> Response<Body> {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        routes.oneshot(request).await.unwrap()
    }

    async fn get(routes: Router, path: &str) -> (StatusCode, String) {
        let (parts, body) = ask(routes, Method::GET, path).await.into_parts();
        assert_eq!(parts.headers["cache-control"], "no-store");
        assert_eq!(parts.headers["content-type"], "text/plain; charset=utf-8");
        let body = to_bytes(body, 1_024).await.unwrap();
        (parts.status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn running_process_is_healthy_even_when_not_ready() {
        let (status, body) = get(routes(|| ready(Readiness::NotReady), LONG), "/healthz").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "ok"));
    }

    #[tokio::test]
    async fn readiness_is_what_the_check_says() {
        let (status, body) = get(routes(|| ready(Readiness::Ready), LONG), "/readyz").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "ready"));

        let (status, body) = get(routes(|| ready(Readiness::DiskFull), LONG), "/readyz").await;
        assert_eq!(status, StatusCode::OK, "tokens are still verified");
        assert!(body.starts_with("ready, but the disk is full"), "{body}");

        let (status, body) = get(routes(|| ready(Readiness::NotReady), LONG), "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, "not ready");
    }

    #[tokio::test]
    async fn check_that_hangs_is_not_ready() {
        let (status, _) = get(routes(pending, Duration::ZERO), "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn probes_answer_head_and_refuse_post() {
        for path in ["/healthz", "/readyz"] {
            let head = ask(routes(|| ready(Readiness::Ready), LONG), Method::HEAD, path).await;
            assert_eq!(head.status(), StatusCode::OK, "{path}");
            let body = to_bytes(head.into_body(), 1_024).await.unwrap();
            assert!(body.is_empty(), "{path}");

            let post = ask(routes(|| ready(Readiness::Ready), LONG), Method::POST, path).await;
            assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
    }
}
