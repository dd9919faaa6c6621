//! Forcing errors and panics: broken messages, broken stores.

use bytes::Bytes;
use http::{HeaderMap, Request};
use serde_json::json;

use super::{CREATE, WIRES, Watched};

impl Watched {
    pub(super) async fn provoke_errors(&mut self) {
        self.send_broken_messages().await;
        let admin = self.secrets.get("first-admin");
        let message = json!({ "username": "admin", "password": admin });
        let token = self.token(WIRES[0], "", message.clone()).await.text;
        let note = self.secrets.note("note while broken");
        // A malformed hash, then a missing table, then a table that cannot grow.
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
