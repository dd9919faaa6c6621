//! The answer for unknown paths, which says what this server has.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::json;

use super::super::{
    endpoints::{self, Endpoint},
    unknown_name,
};

/// The answer for a path that is not in `served`: a sentence, or problem+json (RFC 9457) if the client prefers
/// JSON.
pub fn answer(served: &[Endpoint], uri: &Uri, headers: &HeaderMap) -> Response {
    let paths = || served.iter().filter(|line| line.label != endpoints::OTHER);
    let mut text = match unknown_name::find_closest(uri.path(), paths().map(|line| line.path)) {
        Some(closest) => format!("There is nothing here: did you mean {closest}?"),
        None => "There is nothing here.".to_owned(),
    };
    let paths: Vec<_> = paths().map(|line| line.path).collect();
    if !paths.is_empty() {
        text = format!("{text} This server has {}.", paths.join(", "));
    }
    text = format!(
        "{text} Procedures are called by POST, such as {}, and gRPC's reflection lists them.",
        endpoints::GET_TOKEN.path
    );
    let accept = headers.get(header::ACCEPT);
    let wants_json = accept.is_some_and(|value| value.as_bytes().windows(4).any(|w| w == b"json"));
    let (content_type, body) = if wants_json {
        let problem = json!({ "title": "Not Found", "status": 404, "detail": text });
        ("application/problem+json", problem.to_string())
    } else {
        ("text/plain; charset=utf-8", format!("{text}\n"))
    };
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (StatusCode::NOT_FOUND, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn message(path: &str, accept: &str) -> (String, String) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        let response = answer(endpoints::WEB, &path.parse().unwrap(), &headers);
        assert_eq!(response.status(), 404);
        let content_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
        let content_type = content_type.to_owned();
        let body = axum::body::to_bytes(response.into_body(), 9_999)
            .await
            .unwrap();
        (content_type, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn closest_path_and_all_others_are_named() {
        let (content_type, text) = message("/oauth2/introspection", "*/*").await;
        assert_eq!(content_type, "text/plain; charset=utf-8");
        assert!(
            text.starts_with("There is nothing here: did you mean /oauth2/introspect?"),
            "{text}"
        );
        assert!(text.contains("/healthz") && text.contains("/hallpass.v1.TokenService/"));
        assert!(!text.contains("app.css"));
        let (_, text) = message("/wp-login.php", "text/html").await;
        assert!(
            text.starts_with("There is nothing here. This server has /forward-auth, "),
            "{text}"
        );
    }

    #[tokio::test]
    async fn client_that_prefers_json_gets_problem_json() {
        let (content_type, body) = message("/health", "application/json").await;
        assert_eq!(content_type, "application/problem+json");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("did you mean /healthz?")
        );
        assert_eq!(problem["status"], 404);
    }
}
