//! What is served without a credential: the page, the probes, the reference files, gRPC's health and reflection; and the
//! header fields of every response.

use std::{collections::BTreeSet, fs, path::Path};

use bytes::Bytes;
use hallpass::{
    proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse},
    server::endpoints,
};
use http::{HeaderMap, Method, Request};
use prost::Message;
use serde_json::json;

use crate::{
    client::{Call, HttpResponse, Wire, split_frame, wrap_frame},
    test_app::TestApp,
};

#[tokio::test]
async fn page_is_served_with_a_strict_content_security_policy() {
    let app = TestApp::start().await;
    let page = app.client.ask(Method::GET, "/", &[]).await;
    assert_eq!(page.head.status, 200);
    let headers = &page.head.headers;
    assert!(
        headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(headers.contains_key("etag"));
    let etag = headers["etag"].to_str().unwrap();
    let known = [("if-none-match", etag)];
    let again = app.client.ask(Method::GET, "/", &known).await;
    assert_eq!(again.head.status, 304);
    assert!(page.body.starts_with(b"<!doctype html>") || page.body.starts_with(b"<!DOCTYPE html>"));
}

#[tokio::test]
async fn probes_distinguish_liveness_and_readiness() {
    let app = TestApp::start().await;
    for (path, word) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let reply = app.client.ask(Method::GET, path, &[]).await;
        assert_eq!(
            (reply.head.status.as_u16(), &reply.body[..]),
            (200, word.as_bytes())
        );
    }
    app.sql()
        .execute_batch("ALTER TABLE meta RENAME TO hidden")
        .unwrap();
    let alive = app.client.ask(Method::GET, "/healthz", &[]).await;
    assert_eq!(alive.head.status, 200);
    let not_ready = app.client.ask(Method::GET, "/readyz", &[]).await;
    assert_eq!(
        (not_ready.head.status.as_u16(), &not_ready.body[..]),
        (503, &b"not ready"[..])
    );
    app.sql()
        .execute_batch("ALTER TABLE hidden RENAME TO meta")
        .unwrap();
    assert_eq!(
        app.client
            .ask(Method::GET, "/readyz", &[])
            .await
            .head
            .status,
        200
    );
}

#[tokio::test]
async fn every_response_has_our_request_id_and_nosniff() {
    let app = TestApp::start().await;
    let mut seen = BTreeSet::new();
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/healthz"),
        (Method::GET, "/readyz"),
        (Method::GET, "/nothing-here"),
        (Method::POST, "/healthz"),
        (Method::DELETE, "/hallpass.v1.TokenService/GetToken"),
        (Method::GET, "/hallpass.v1.TokenService/CreateToken"),
        (Method::OPTIONS, "/hallpass.v1.TokenService/GetToken"),
        (Method::GET, "/grpc.health.v1.Health/Check"),
    ] {
        let headers = [("x-request-id", "mine")];
        let reply = app.client.ask(method.clone(), path, &headers).await;
        let id = reply.head.headers["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(id.len(), 22, "{method} {path}");
        assert!(seen.insert(id), "{method} {path}");
        assert_eq!(reply.head.headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn unknown_page_is_a_text_404_and_calls_are_never_cached() {
    let app = TestApp::start().await;
    let missing = app
        .client
        .ask(Method::GET, "/oauth2/device/code", &[])
        .await;
    assert_eq!(missing.head.status, 404);
    let content_type = missing.head.headers.get("content-type");
    let json = content_type.is_some_and(|value| value.to_str().unwrap().contains("json"));
    assert!(
        !json,
        "clients derive the code from the status only if the body is not JSON"
    );
    for token in ["", &app.admin.token] {
        let call = Call::new("TokenService/ListTokens", json!({}));
        let call = if token.is_empty() {
            call
        } else {
            call.bearer(token)
        };
        for wire in Wire::ALL {
            let answer = app.client.call(wire, call.clone()).await;
            assert_eq!(answer.headers["cache-control"], "no-store", "{wire:?}");
        }
    }
}

async fn get(app: &TestApp, path: &str) -> Vec<u8> {
    let reply = app.client.ask(Method::GET, path, &[]).await;
    assert_eq!(reply.head.status, 200, "{path}");
    reply.body.to_vec()
}

#[tokio::test]
async fn descriptor_set_has_every_served_procedure() {
    let app = TestApp::start().await;
    let set = get(&app, "/proto/hallpass.binpb").await;
    let pool = prost_reflect::DescriptorPool::decode(&set[..]).unwrap();
    let methods = pool.services().flat_map(|service| {
        let name = service.full_name().to_owned();
        let methods: Vec<_> = service.methods().collect();
        methods
            .into_iter()
            .map(move |method| format!("/{name}/{}", method.name()))
    });
    let listed = endpoints::PROCEDURES
        .iter()
        .map(|line| line.path.to_owned());
    assert_eq!(
        methods.collect::<BTreeSet<_>>(),
        listed.collect::<BTreeSet<_>>()
    );
    // Generators need the comments, too; they have protobuf's own files themselves.
    let set = prost_types::FileDescriptorSet::decode(&set[..]).unwrap();
    for file in set.file {
        let is_ours = !file.name().starts_with("google/protobuf/");
        assert!(
            !is_ours || file.source_code_info.is_some(),
            "{}",
            file.name()
        );
    }
}

/// Fetches the files by the list, as a script would.
#[tokio::test]
async fn proto_files_compile_to_the_descriptor_set_without_others() {
    let app = TestApp::start().await;
    let list = String::from_utf8(get(&app, "/proto/").await).unwrap();
    assert_eq!(list.as_bytes(), get(&app, "/proto").await);
    let folder = tempfile::tempdir().unwrap();
    for name in list.lines() {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, get(&app, &format!("/proto/{name}")).await).unwrap();
    }
    let protos: Vec<_> = list
        .lines()
        .filter(|name| *name != "hallpass.binpb")
        .collect();
    let compiled = protox::compile(&protos, [folder.path()]).unwrap();
    let set = fs::read(folder.path().join("hallpass.binpb")).unwrap();
    assert!(compiled.encode_to_vec() == set);
    // The control: none of them can be omitted.
    fs::remove_file(folder.path().join("google/rpc/status.proto")).unwrap();
    let check = "envoy/service/auth/v3/external_auth.proto";
    assert!(protox::compile([check], [folder.path()]).is_err());
}

#[tokio::test]
async fn proto_files_and_the_documentation_are_served_verbatim() {
    let app = TestApp::start().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("proto"), root.join("docs")];
    let mut files = vec![(root.join("README.md"), "/docs".to_owned())];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                files.push((path, format!("/{name}")));
            }
        }
    }
    assert!(files.len() > 15, "{files:?}");
    for (file, path) in files {
        let reply = app.client.ask(Method::GET, &path, &[]).await;
        assert!(reply.body[..] == fs::read(file).unwrap(), "{path}");
        let headers = &reply.head.headers;
        assert_eq!(
            headers["content-type"], "text/plain; charset=utf-8",
            "{path}"
        );
        assert_eq!(headers["cache-control"], "no-cache", "{path}");
        let known = [("if-none-match", headers["etag"].to_str().unwrap())];
        let again = app.client.ask(Method::GET, &path, &known).await;
        assert_eq!(again.head.status, 304, "{path}");
        let head = app.client.ask(Method::HEAD, &path, &[]).await;
        assert_eq!(
            head.head.headers["content-length"],
            headers["content-length"]
        );
    }
}

#[tokio::test]
async fn other_paths_are_404_and_name_what_exists() {
    let app = TestApp::start().await;
    for path in [
        "/proto/hallpass",
        "/proto/hallpass/v1/",
        "/proto/hallpass/v1/tokens.proto",
        "/proto/../Cargo.toml",
        "/proto/%2e%2e/Cargo.toml",
        "/proto/..%2fCargo.toml",
        "/proto//hallpass/v1/token.proto",
        "/proto/hallpass%2fv1%2ftoken.proto",
        "/proto/google/protobuf/timestamp.proto",
        "/docs/",
        "/docs/README.md",
        "/docs/tokens",
        "/docs/../Cargo.toml",
    ] {
        let reply = app.client.ask(Method::GET, path, &[]).await;
        assert_eq!(reply.head.status, 404, "{path}");
        let text = str::from_utf8(&reply.body).unwrap();
        assert!(text.contains("/docs, /proto"), "{path}: {text}");
    }
    for path in [
        "/docs",
        "/docs/tokens.md",
        "/proto/hallpass/v1/token.proto",
        "/proto/hallpass.binpb",
    ] {
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let reply = app.client.ask(method.clone(), path, &[]).await;
            assert_eq!(reply.head.status, 405, "{method} {path}");
        }
    }
}

async fn call_grpc(app: &TestApp, path: &str, message: &[u8]) -> HttpResponse {
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(wrap_frame(0, message))
        .unwrap();
    app.client.send(request, HeaderMap::new(), true).await
}

fn grpc_status(reply: &HttpResponse) -> &str {
    let status = reply.trailers.get("grpc-status");
    let status = status.or(reply.head.headers.get("grpc-status"));
    status.unwrap().to_str().unwrap()
}

#[tokio::test]
async fn health_covers_the_server_and_each_service() {
    let app = TestApp::start().await;
    for service in [
        "",
        "hallpass.v1.TokenService",
        "buf.registry.owner.v1.UserService",
    ] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let request = request.encode_to_vec();
        // Until the server's first check of itself it reports NOT_SERVING.
        let mut serving = false;
        while !serving {
            let reply = call_grpc(&app, "/grpc.health.v1.Health/Check", &request).await;
            if grpc_status(&reply) == "0" {
                let frames = split_frame(&reply.body);
                let answer = HealthCheckResponse::decode(frames[0].1).unwrap();
                serving = answer.status == 1;
            }
            tokio::task::yield_now().await;
        }
    }
    let unknown = HealthCheckRequest {
        service: "nothing".to_owned(),
    };
    let reply = call_grpc(
        &app,
        "/grpc.health.v1.Health/Check",
        &unknown.encode_to_vec(),
    )
    .await;
    assert_eq!(grpc_status(&reply), "5", "not found");
}

#[tokio::test]
async fn reflection_lists_the_services_and_their_files() {
    let app = TestApp::start().await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // list_services = 7, file_containing_symbol = 4: the two messages are the same in both versions.
        let list = call_grpc(&app, &path, b"\x3a\x01*").await;
        assert_eq!(grpc_status(&list), "0");
        for service in [
            "hallpass.v1.TokenService",
            "hallpass.v1.UserService",
            "hallpass.v1.AuthnService",
            "hallpass.v1.AuditService",
            "hallpass.v1.AdminService",
            "buf.registry.owner.v1.UserService",
            "envoy.service.auth.v3.Authorization",
            "grpc.health.v1.Health",
        ] {
            assert!(contains(&list.body, service), "{service}");
        }
        let symbol = "hallpass.v1.TokenService";
        let mut request = vec![0x22, u8::try_from(symbol.len()).unwrap()];
        request.extend(symbol.bytes());
        let file = call_grpc(&app, &path, &request).await;
        assert!(contains(&file.body, "hallpass/v1/token.proto"));
        assert!(contains(&file.body, "CreateTokenRequest"));
    }
}

fn contains(body: &Bytes, text: &str) -> bool {
    body.windows(text.len())
        .any(|window| window == text.as_bytes())
}
