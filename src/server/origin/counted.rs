//! What a request counts as. Whatever a client may send, the values are from fixed lists.

use std::borrow::Cow;

use axum::response::Response;

use crate::{
    metrics,
    server::edge::{Outcome, Protocol, is_below},
};

/// What is neither a procedure nor a route.
const OTHER: &str = "other";

/// The web's routes.
const ROUTES: [&str; 6] = [
    "/",
    "/healthz",
    "/readyz",
    "/oauth2/introspect",
    "/oauth2/revoke",
    "/.well-known/oauth-authorization-server",
];

/// The one that stands for all that is below it, too.
const TREE: &str = "/forward-auth";

/// What a request for `path`, answered by `response`, counts as.
pub(super) fn request(
    path: &str,
    response: &Response,
    outcome: Option<&Outcome>,
) -> metrics::Request {
    let Some(outcome) = outcome else {
        return metrics::Request {
            procedure: route(path).into(),
            protocol: "http",
            code: response.status().as_str().to_owned().into(),
        };
    };
    let procedure = match &outcome.procedure {
        Some(path) => path.trim_start_matches('/').to_owned().into(),
        None => Cow::Borrowed(OTHER),
    };
    metrics::Request {
        procedure,
        protocol: outcome.protocol.map_or(OTHER, Protocol::name),
        code: outcome.code.map_or("ok", |code| code.as_str()).into(),
    }
}

fn route(path: &str) -> &'static str {
    if is_below(path, TREE) {
        return TREE;
    }
    let found = ROUTES.into_iter().find(|route| *route == path);
    found.unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_count_as_one_of_a_few() {
        for (path, expected) in [
            ("/", "/"),
            ("/healthz", "/healthz"),
            ("/forward-auth", "/forward-auth"),
            ("/forward-auth/any/path", "/forward-auth"),
            ("/forward-authentic", OTHER),
            ("/healthz/", OTHER),
            ("/wp-login.php", OTHER),
            ("", OTHER),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
