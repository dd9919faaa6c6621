use std::{collections::BTreeSet, fs, path::Path};

use axum::body::{Body, to_bytes};
use http::{Method, Request};
use tower::ServiceExt;

use super::{
    super::super::endpoints::{HEALTHZ, READYZ},
    *,
};

async fn ask(method: Method, path: &str, known: &[&str]) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    for etag in known {
        request = request.header(header::IF_NONE_MATCH, *etag);
    }
    let request = request.body(Body::empty()).unwrap();
    let (parts, body) = routes(None).oneshot(request).await.unwrap().into_parts();
    (
        parts.status,
        parts.headers,
        to_bytes(body, 1 << 20).await.unwrap(),
    )
}

async fn page() -> String {
    let (status, _, body) = ask(Method::GET, "/", &[]).await;
    assert_eq!(status, StatusCode::OK);
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn page_shows_the_version_of_the_build() {
    let page = page().await;
    assert!(page.contains(&format!("<dd>{}</dd>", env!("CARGO_PKG_VERSION"))));
    assert!(!page.contains("{{"));
}

/// Behind a proxy that strips a path prefix, `/app.css` is not ours. A link to another host would be dead without a
/// network.
#[tokio::test]
async fn every_address_of_the_page_is_relative_and_is_served() {
    let page = page().await;
    let mut addresses = BTreeSet::new();
    for attribute in ["href=\"", "src=\"", "srcset=\"", "action=\""] {
        let found = page.split(attribute).skip(1);
        addresses.extend(found.filter_map(|rest| rest.split('"').next()));
    }
    for named in ["docs", "proto/", "proto/hallpass.binpb", "app.js"] {
        assert!(addresses.contains(named), "{named}");
    }
    let protos = crate::proto::FILES.iter().map(|(name, _)| *name);
    for name in protos.filter(|name| name.starts_with("hallpass/")) {
        assert!(addresses.contains(&*format!("proto/{name}")), "{name}");
    }
    let probes = [HEALTHZ.path, READYZ.path];
    for address in addresses {
        let path = format!("/{address}");
        assert!(
            !address.starts_with(['/', '.']) && !address.contains(':'),
            "{address}"
        );
        let request = Request::get(&path).body(Body::empty()).unwrap();
        let served = routes(None).merge(super::super::reference::routes());
        let status = served.oneshot(request).await.unwrap().status();
        assert!(status == 200 || probes.contains(&&*path), "{address}");
    }
}

/// Scripts and style sheets load files relative to themselves.
#[test]
fn files_contain_no_absolute_paths() {
    for (Endpoint { path, .. }, kind, bytes) in &FILES {
        let text = str::from_utf8(bytes).unwrap();
        for absolute in ["\"/", "'/", "`/", "url(/"] {
            assert!(!text.contains(absolute), "{path} ({kind}): {absolute}");
        }
    }
}

#[tokio::test]
async fn page_contains_the_public_url_without_scripts() {
    let url = PublicUrl::parse("https://example.com/hallpass").unwrap();
    for (url, address) in [
        (Some(&url), "https://example.com/hallpass"),
        (None, "http://127.0.0.1:8080"),
    ] {
        let request = Request::get("/").body(Body::empty()).unwrap();
        let page = routes(url).oneshot(request).await.unwrap().into_body();
        let page = to_bytes(page, 1 << 20).await.unwrap();
        let page = str::from_utf8(&page).unwrap();
        let call = format!("\"<b data-address>{address}</b>/hallpass.v1.TokenService/ListTokens\"");
        assert!(page.contains(&call), "{address}");
    }
}

/// Tokens created by a snippet must expire.
#[tokio::test]
async fn every_snippet_that_creates_tokens_sets_an_expiry() {
    let page = page().await;
    let snippets = page.split("<pre").skip(1);
    let snippets = snippets.filter_map(|part| part.split("</pre>").next());
    let count = |text: &str, words: &[&str]| -> usize {
        words.iter().map(|word| text.matches(word).count()).sum()
    };
    let making = [
        "/CreateToken",
        "token create",
        "hallpass login",
        ".createToken(",
    ];
    let mut all = 0;
    for snippet in snippets {
        let made = count(snippet, &making);
        let ending = count(snippet, &["expireTime: ", "expireTime =", "--expires "]);
        assert_eq!(made, ending, "{snippet}");
        all += made;
    }
    assert_eq!(all, 5);
}

#[test]
fn every_file_of_the_directory_is_served() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("static");
    let there: BTreeSet<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| format!("/{}", entry.unwrap().file_name().display()))
        .map(|path| path.replace("/index.html", "/"))
        .collect();
    let served = paths().map(str::to_owned).collect();
    assert_eq!(there, served);
}

#[tokio::test]
async fn every_file_has_its_content_type_and_the_security_headers() {
    for (Endpoint { path, .. }, content_type, _) in FILES {
        let (status, headers, body) = ask(Method::GET, path, &[]).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(headers["content-type"], content_type, "{path}");
        assert_eq!(headers["cache-control"], "no-cache", "{path}");
        assert_eq!(
            headers["content-security-policy"],
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'",
            "{path}"
        );
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(
            headers["cross-origin-opener-policy"], "same-origin",
            "{path}"
        );
        assert!(headers.contains_key("permissions-policy"), "{path}");
        assert!(!body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn etag_is_strong_and_differs_between_files() {
    let mut seen = BTreeSet::new();
    for (Endpoint { path, .. }, ..) in FILES {
        let (_, headers, _) = ask(Method::GET, path, &[]).await;
        let etag = headers["etag"].to_str().unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.len() == 34, "{path}: {etag}");
        assert!(seen.insert(etag), "{path}");
    }
}

#[tokio::test]
async fn cached_file_is_not_sent_again() {
    let (_, first, _) = ask(Method::GET, "/", &[]).await;
    let etag = first["etag"].to_str().unwrap();
    let weak = format!("W/{etag}");
    let listed = format!("\"other\" , {etag}");
    for known in [
        &[etag][..],
        &[&weak],
        &[&listed],
        &["\"other\"", etag],
        &["*"],
    ] {
        let (status, headers, body) = ask(Method::GET, "/", known).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED, "{known:?}");
        assert_eq!(headers["etag"], etag, "{known:?}");
        assert_eq!(headers["cache-control"], "no-cache", "{known:?}");
        assert!(body.is_empty(), "{known:?}");
    }
    for known in [&["\"other\""][..], &["\"\""], &[""], &[&etag[1..33]]] {
        let (status, ..) = ask(Method::GET, "/", known).await;
        assert_eq!(status, StatusCode::OK, "{known:?}");
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let (_, get, body) = ask(Method::GET, "/", &[]).await;
    let (status, head, nothing) = ask(Method::HEAD, "/", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(head["etag"], get["etag"]);
    assert_eq!(head["content-type"], get["content-type"]);
    assert_eq!(head["content-length"], body.len().to_string());
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn other_methods_are_refused() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let (status, headers, _) = ask(method.clone(), "/", &[]).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(headers["allow"], "GET,HEAD", "{method}");
    }
}

/// Whatever the policy would block in a browser must not be in the page.
#[tokio::test]
async fn page_has_no_inline_code_and_mentions_no_other_host() {
    let page = page().await;
    assert!(!page.contains("<style") && !page.contains(" style="));
    for word in page
        .split_ascii_whitespace()
        .filter(|word| word.starts_with("on"))
    {
        assert!(!word.contains('='), "an event handler: {word}");
    }
    for script in page.split("<script").skip(1) {
        assert!(script.starts_with(" type=\"module\" src=\"app.js\"></script>"));
    }
    for link in page.split("://").skip(1) {
        assert!(link.starts_with("127.0.0.1:8080"), "{link:.40}");
    }
}

#[test]
fn scripts_use_no_sink_that_turns_text_into_code() {
    for (Endpoint { path, .. }, _, bytes) in FILES.iter().filter(|(_, kind, _)| *kind == JS) {
        let script = str::from_utf8(bytes).unwrap();
        assert!(script.starts_with("// @ts-check\n"), "{path}");
        for sink in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "Function(",
        ] {
            assert!(!script.contains(sink), "{path}: {sink}");
        }
    }
}
