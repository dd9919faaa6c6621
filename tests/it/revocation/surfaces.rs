//! Verification of somebody else's token: by a service, a proxy and Envoy.

use std::sync::Arc;

use http::Method;
use serde_json::json;

use crate::{
    client::{Call, Client, Codec, Protocol, Wire},
    envoy,
};

use super::race::Verify;

/// Checks over the network, each reader by another endpoint; `asker` is a token that may verify others.
pub(super) fn verify(client: &Client, asker: &str) -> Verify {
    let (client, asker) = (client.clone(), asker.to_owned());
    Arc::new(move |reader, token: String| {
        let (client, asker) = (client.clone(), asker.clone());
        Box::pin(async move {
            match reader % 4 {
                0 => verifies(&client, &asker, &token).await,
                1 => introspects(&client, &asker, &token).await,
                2 => passes(&client, &token).await,
                _ => checks(&client, &token).await,
            }
        })
    })
}

async fn verifies(client: &Client, asker: &str, token: &str) -> bool {
    let message = json!({ "token": token });
    let call = Call::new("hallpass.v1.TokenService/VerifyToken", message).bearer(asker);
    let answer = client.call(Wire::CURL, call).await.ok();
    answer.get("valid").is_some_and(|valid| valid == true)
}

async fn introspects(client: &Client, asker: &str, token: &str) -> bool {
    let asker = format!("Bearer {asker}");
    let headers = [("authorization", &*asker)];
    let form = [("token", token)];
    let reply = client.form("/oauth2/introspect", &headers, &form).await;
    assert_eq!(reply.head.status, 200);
    reply.json()["active"] == true
}

async fn passes(client: &Client, token: &str) -> bool {
    let token = format!("Bearer {token}");
    let headers = [("authorization", &*token)];
    let reply = client.ask(Method::GET, "/forward-auth", &headers).await;
    match reply.head.status.as_u16() {
        200 => true,
        401 => false,
        status => panic!("neither accepted nor refused: {status}"),
    }
}

async fn checks(client: &Client, token: &str) -> bool {
    let message = envoy::check(envoy::bearer(token), "127.0.0.1", None);
    let call = Call::new("envoy.service.auth.v3.Authorization/Check", message);
    let grpc = Wire::new(Protocol::Grpc, Codec::Proto);
    envoy::verdict(&client.call(grpc, call).await.ok()).is_ok()
}
