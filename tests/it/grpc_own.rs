//! gRPC's own services: health checking and server reflection, without a credential.

use bytes::Bytes;
use hallpass::proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use http::{HeaderMap, Request};
use prost::Message;

use crate::{
    client::{HttpResponse, split_frame, wrap_frame},
    test_app::TestApp,
};

async fn call(app: &TestApp, path: &str, message: &[u8]) -> HttpResponse {
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(wrap_frame(0, message))
        .unwrap();
    app.client.send(request, HeaderMap::new(), true).await
}

fn status(reply: &HttpResponse) -> &str {
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
            let reply = call(&app, "/grpc.health.v1.Health/Check", &request).await;
            if status(&reply) == "0" {
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
    let reply = call(
        &app,
        "/grpc.health.v1.Health/Check",
        &unknown.encode_to_vec(),
    )
    .await;
    assert_eq!(status(&reply), "5", "not found");
}

#[tokio::test]
async fn reflection_lists_the_services_and_their_files() {
    let app = TestApp::start().await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // list_services = 7, file_containing_symbol = 4: the two messages are the same in both versions.
        let list = call(&app, &path, b"\x3a\x01*").await;
        assert_eq!(status(&list), "0");
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
        let file = call(&app, &path, &request).await;
        assert!(contains(&file.body, "hallpass/v1/token.proto"));
        assert!(contains(&file.body, "CreateTokenRequest"));
    }
}

fn contains(body: &Bytes, text: &str) -> bool {
    body.windows(text.len())
        .any(|window| window == text.as_bytes())
}
