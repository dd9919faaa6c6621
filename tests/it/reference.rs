//! Reference files that the server serves: README, protobuf files, their descriptor set.

use std::{collections::BTreeSet, fs, path::Path};

use hallpass::server::endpoints;
use http::Method;
use prost::Message;

use crate::test_app::TestApp;

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
async fn proto_files_and_the_readme_are_served_verbatim() {
    let app = TestApp::start().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("proto")];
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
    ] {
        let reply = app.client.ask(Method::GET, path, &[]).await;
        assert_eq!(reply.head.status, 404, "{path}");
        let text = str::from_utf8(&reply.body).unwrap();
        assert!(text.contains("/docs, /proto"), "{path}: {text}");
    }
    for path in [
        "/docs",
        "/proto/hallpass/v1/token.proto",
        "/proto/hallpass.binpb",
    ] {
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let reply = app.client.ask(method.clone(), path, &[]).await;
            assert_eq!(reply.head.status, 405, "{method} {path}");
        }
    }
}
