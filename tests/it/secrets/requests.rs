//! Requests with secrets in them: in forms, in Basic, at forward-auth and in Envoy's messages, where none belong, and
//! requests that force errors.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::json;

use super::{CREATE, WIRES, Watched};
use crate::{client::HttpResponse, envoy, introspection::basic};

impl Watched {
    pub(super) async fn provoke_errors(&mut self) {
        self.send_broken_messages().await;
        let admin = self.secrets.get("first-admin");
        let message = json!({ "username": "admin", "password": admin });
        let token = self.token(WIRES[0], "", message.clone()).await.text;
        let note = self.secrets.note("note while broken");
        // A malformed hash, then a missing table, then an audit log whose number cannot rise.
        for (break_it, mend_it) in [
            (
                "UPDATE users SET password_hash = 'x' || password_hash WHERE username = 'admin'",
                "UPDATE users SET password_hash = substr(password_hash, 2) WHERE username = 'admin'",
            ),
            (
                "ALTER TABLE users RENAME TO gone",
                "ALTER TABLE gone RENAME TO users",
            ),
            (
                "INSERT INTO audit SELECT 9223372036854775807, time, actor, credential_id, target, action, \
                 outcome, count, request_id, client_request_id, ip, user_agent, hash, format, \
                 credential_kind, successor_id FROM audit LIMIT 1",
                "DELETE FROM audit WHERE sequence = 9223372036854775807",
            ),
        ] {
            self.sandbox.tamper(break_it);
            for wire in WIRES {
                if !wire.is_get() {
                    let _ = self.call(wire, "", CREATE, message.clone()).await;
                    let _ = self
                        .call(wire, &token, CREATE, json!({ "note": note }))
                        .await;
                }
                let id = json!({ "id": admin });
                let _ = self.call(wire, &token, "UserService/GetUser", id).await;
            }
            self.sandbox.tamper(mend_it);
        }
    }

    /// Undecodable messages that contain a secret, and secrets in places where none belong.
    async fn send_broken_messages(&mut self) {
        let secret = self.secrets.password("in a broken message");
        let token = self.secrets.unknown_token();
        for (path, content_type, authorization, body) in [
            (
                CREATE,
                "application/json",
                "",
                format!("{{\"password\":\"{secret}\",}}"),
            ),
            (
                CREATE,
                "application/json",
                "",
                format!("{{\"password\":[\"{secret}\"]}}"),
            ),
            (
                CREATE,
                "application/json",
                "",
                format!("{{\"expireTime\":\"{secret}\"}}"),
            ),
            (
                CREATE,
                "application/json",
                "",
                format!("{{\"{secret}\":1}}"),
            ),
            (
                CREATE,
                "application/proto",
                "",
                format!("\u{2a}\u{7f}{secret}"),
            ),
            (CREATE, "application/grpc-web+proto", "", secret.clone()),
            (CREATE, "text/plain", "", secret.clone()),
            (
                "TokenService/GetToken",
                "application/json",
                &*token,
                "{}".to_owned(),
            ),
            (
                &format!("TokenService/GetToken?token={secret}"),
                "application/json",
                "",
                "{}".into(),
            ),
            (
                &format!("Nothing/Such?token={secret}"),
                "application/json",
                &token,
                "{}".into(),
            ),
        ] {
            for scheme in ["Bearer ", "Basic ", ""] {
                let request = Request::post(format!("/hallpass.v1.{path}"))
                    .header("content-type", content_type)
                    .header("authorization", format!("{scheme}{authorization}"))
                    .header("cookie", format!("session={secret}"))
                    .body(Bytes::from(body.clone()));
                let reply = self
                    .client
                    .send(request.unwrap(), HeaderMap::new(), false)
                    .await;
                self.replies
                    .extend(format!("{:?} {:?}", reply.head, reply.trailers).bytes());
                self.replies.extend(&reply.body);
            }
        }
    }
}

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
