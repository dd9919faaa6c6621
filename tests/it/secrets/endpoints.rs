//! Tokens in forms, in Basic, at forward-auth and within Envoy's messages: good ones, bad ones, and in places
//! where none belong.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::json;

use crate::{client::HttpResponse, envoy, introspection::basic};

use super::{WIRES, Watched};

impl Watched {
    pub(super) async fn use_endpoints(&mut self) {
        let admin = self.secrets.get("first-admin");
        let message = json!({ "username": "admin", "password": admin });
        let own = self.token(WIRES[0], "", message.clone()).await.text;
        let ended = self.token(WIRES[0], "", message).await.text;
        let unknown = self.secrets.unknown_token();
        let password = self.secrets.password("of nobody");
        for token in [&own, &unknown, &ended, &password] {
            for authorization in [
                format!("Bearer {own}"),
                basic("admin", &own),
                basic(&password, &unknown),
                basic("admin", &password),
                format!("Bearer {unknown}"),
                format!("Digest {password}"),
            ] {
                let headers = [("authorization", &*authorization)];
                let form = [("token", &**token), ("token_type_hint", &*password)];
                let introspect = format!("/oauth2/introspect?token={password}");
                let reply = self.client.form(&introspect, &headers, &form).await;
                self.keep(reply);
                let cookie = [&headers[..], &[("cookie", &*unknown)]].concat();
                let query = format!("access_token={password}&scope={password}");
                let forward = format!("/forward-auth/x?{query}");
                let reply = self.client.ask(Method::POST, &forward, &cookie).await;
                self.keep(reply);
                let reply = self.client.ask(Method::GET, "/forward-auth", &cookie).await;
                self.keep(reply);
            }
            for secret in [&own, &unknown, &password] {
                let form = [("token", &**token), ("client_secret", &**secret)];
                let reply = self.client.form("/oauth2/introspect", &[], &form).await;
                self.keep(reply);
                let key = [("x-api-key", &**secret)];
                let forward = "/forward-auth?credential=x-api-key";
                let reply = self.client.ask(Method::GET, forward, &key).await;
                self.keep(reply);
            }
            for form in [
                &[("token", &**token), ("token", &*password)][..],
                &[("scope", &password)],
            ] {
                let reply = self.client.form("/oauth2/revoke", &[], form).await;
                self.keep(reply);
            }
            for wire in WIRES.into_iter().filter(|wire| !wire.is_get()) {
                for scope in [None, Some(&*password)] {
                    let message = envoy::check(envoy::bearer(token), "::1", scope);
                    let check = "envoy.service.auth.v3.Authorization/Check";
                    let _ = self.call(wire, "", check, message).await;
                }
            }
            let request = Request::post("/oauth2/revoke")
                .header("content-type", "application/json")
                .body(Bytes::from(json!({ "token": token }).to_string()));
            let reply = self.client.send(request.unwrap(), HeaderMap::new(), false);
            let reply = reply.await;
            self.keep(reply);
        }
        let reply = self
            .client
            .form("/oauth2/revoke", &[], &[("token", &ended)])
            .await;
        self.keep(reply);
    }

    fn keep(&mut self, reply: HttpResponse) {
        self.replies.extend(format!("{:?}", reply.head).bytes());
        self.replies.extend(&reply.body);
    }
}
