//! How a request may present its token, how it is challenged, and how large its head may be.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::json;

use crate::{
    introspection::basic,
    test_app::{ADMIN_PASSWORD, TestApp},
};

use crate::forward_auth::{PATH, bearer, identity};

#[tokio::test]
async fn only_one_authorization_header_counts_and_never_a_cookie_or_the_query() {
    let app = TestApp::start().await;
    let token = &app.admin.token;
    let bearer = format!("Bearer {token}");
    let cookie = format!("token={token}; session={token}; __Host-session={token}");
    let query = format!("{PATH}?at=/&access_token={token}&token={token}");
    let none = app
        .client
        .ask(Method::GET, &query, &[("cookie", &cookie)])
        .await;
    let challenge = "Bearer realm=\"hallpass\"";
    assert_eq!(none.status_and("www-authenticate"), (401, vec![challenge]));
    for authorization in [
        &[&*basic("admin", ADMIN_PASSWORD)][..],
        &[&basic(token, "")],
        &[&basic("admin", &bearer)],
        &[&format!("Bearer {bearer}")],
        &[&format!("{bearer}, {bearer}")],
        &["Bearer"],
        &["Bearer "],
        &[&bearer, &bearer],
        &[&bearer, "Basic eDp4"],
        &[&basic("", token), &bearer],
    ] {
        let headers: Vec<_> = authorization
            .iter()
            .map(|a| ("authorization", *a))
            .collect();
        let reply = app.client.ask(Method::GET, PATH, &headers).await;
        assert_eq!(reply.head.status, 401, "{authorization:?}");
        assert_eq!(identity(&reply), None);
    }
}

/// As git, docker and pip send it.
#[tokio::test]
async fn basic_password_is_the_token_whatever_the_user_name() {
    let app = TestApp::start().await;
    for user in ["", "admin", "x-access-token", "__token__"] {
        let authorization = basic(user, &app.admin.token);
        let headers = [("authorization", &*authorization)];
        let reply = app.client.ask(Method::GET, PATH, &headers).await;
        let told = identity(&reply).expect("it passes");
        assert_eq!(
            told[0], "admin",
            "the token's user, not the stated one: {user}"
        );
    }
}

#[tokio::test]
async fn challenge_is_basic_where_configured() {
    let app = TestApp::start().await;
    let scoped = app
        .child(&app.admin.token, json!({ "scopes": ["a"] }))
        .await;
    let (wrong, good) = (basic("git", "nonsense"), basic("git", &scoped.text));
    let by_basic = "Basic realm=\"hallpass\", charset=\"UTF-8\"";
    for authorization in [None, Some(&*wrong), Some("Bearer nonsense")] {
        for (query, challenge) in [
            ("?challenge=basic", by_basic),
            ("", "Bearer realm=\"hallpass\""),
        ] {
            let headers = authorization.map(|value| ("authorization", value));
            let headers: Vec<_> = headers.into_iter().collect();
            let path = format!("{PATH}{query}");
            let reply = app.client.ask(Method::GET, &path, &headers).await;
            let (status, challenges) = reply.status_and("www-authenticate");
            assert_eq!((status, challenges.len()), (401, 1));
            assert!(challenges[0].starts_with(challenge), "{challenges:?}");
        }
    }
    let headers = [("authorization", &*good)];
    let missing = format!("{PATH}?challenge=basic&scope=b");
    let reply = app.client.ask(Method::GET, &missing, &headers).await;
    // No other credential would help, so there is no challenge.
    let challenge = "Bearer realm=\"hallpass\", error=\"insufficient_scope\", scope=\"b\"";
    assert_eq!(reply.status_and("www-authenticate"), (403, vec![challenge]));
}

#[tokio::test]
async fn api_key_counts_only_where_configured_and_without_authorization() {
    let app = TestApp::start().await;
    let token = &*app.admin.token;
    let (bearer, wrong) = (format!("Bearer {token}"), "Bearer nonsense");
    let key = ("x-api-key", token);
    let bad_key = ("x-api-key", "nonsense");
    let asked = "?credential=x-api-key";
    for (query, headers, passes) in [
        (asked, &[key][..], true),
        (asked, &[bad_key], false),
        (asked, &[key, key], false),
        (asked, &[("x-api-key", &*bearer)], false),
        (asked, &[("authorization", &*bearer)], true),
        (asked, &[("authorization", &*bearer), bad_key], true),
        (asked, &[("authorization", wrong), key], false),
        (asked, &[("authorization", "Digest x"), key], false),
        (asked, &[("cookie", token)], false),
        ("", &[key], false),
        ("?at=/?credential=x-api-key", &[key], false),
    ] {
        let path = format!("{PATH}{query}");
        let reply = app.client.ask(Method::GET, &path, headers).await;
        assert_eq!(identity(&reply).is_some(), passes, "{query} {headers:?}");
    }
}

/// A browser sends all cookies of the site.
#[tokio::test]
async fn large_browser_head_is_accepted_only_where_proxies_forward_it() {
    let app = TestApp::start().await;
    let bearer = bearer(&app.admin.token);
    let ask = async |path: &str, http2: bool, fields: &[(&'static str, usize, usize)]| {
        let mut request = Request::get(path).header("authorization", &bearer);
        for (name, number, length) in fields {
            for _ in 0..*number {
                request = request.header(*name, "x".repeat(*length));
            }
        }
        let request = request.body(Bytes::new()).unwrap();
        let reply = app.client.send(request, HeaderMap::new(), http2).await;
        reply.head.status.as_u16()
    };
    for (fields, passes) in [
        (&[("cookie", 1, 40_000), ("x-large", 5, 4_000)][..], true),
        (&[("cookie", 1, 64_000), ("x-many", 190, 1)], true),
        (&[("cookie", 1, 66_000)], false),
        (&[("x-many", 201, 1)], false),
    ] {
        for http2 in [false, true] {
            let forwarded = if passes { 200 } else { 431 };
            for path in [PATH, "/forward-auth/x"] {
                assert_eq!(
                    ask(path, http2, fields).await,
                    forwarded,
                    "{path} {fields:?}"
                );
            }
            let me = "/hallpass.v1.AuthnService/GetCurrentUser?encoding=json&message=%7B%7D";
            for path in ["/readyz", me] {
                assert_eq!(ask(path, http2, fields).await, 431, "{path} {fields:?}");
            }
        }
    }
    // Over HTTP/2 browsers split a cookie into many fields.
    let crumbs = [("cookie", 180, 300)];
    assert_eq!(ask(PATH, true, &crumbs).await, 200);
    assert_eq!(ask(PATH, true, &[("cookie", 500, 20)]).await, 200);
    assert_eq!(ask("/readyz", true, &[("cookie", 500, 20)]).await, 200);
    assert_eq!(ask("/readyz", true, &crumbs).await, 431);
}
