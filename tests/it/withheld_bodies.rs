//! The caller is checked again when the body has arrived, however long that took: a caller that has lost its token,
//! user or role meanwhile is refused like a new request.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use hallpass::{
    app::{
        Error,
        caller::ClientInfo,
        verify::{Verification, VerifyToken},
    },
    domain::{id::RequestId, presented_token::PresentedToken},
    server::endpoints::{Credentials, PROCEDURES},
};
use http::{Request, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle, time};

use crate::{
    client::{HttpResponse, Procedure, Protocol, Reply, Wire, procedures},
    introspection::basic,
    test_app::{NewToken, Person, TestApp},
};

const HOUR: Duration = Duration::from_hours(1);

/// What happens to the caller before its body arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Nothing,
    Deleted,
    Disabled,
    Expired,
    Deactivated,
    Demoted,
}

impl Change {
    const FATAL: [(Self, &str); 4] = [
        (Self::Deleted, "TOKEN_DELETED"),
        (Self::Disabled, "TOKEN_DISABLED"),
        (Self::Expired, "TOKEN_EXPIRED"),
        (Self::Deactivated, "USER_DEACTIVATED"),
    ];

    async fn happen(self, app: &TestApp, person: &Person, token: &NewToken) {
        let (procedure, message) = match self {
            Self::Nothing => return,
            Self::Expired => return app.clock.advance(2 * HOUR),
            Self::Deleted => ("TokenService/DeleteToken", json!({ "tokenId": token.id })),
            Self::Disabled => (
                "TokenService/UpdateToken",
                json!({ "tokenId": token.id, "disabled": true }),
            ),
            Self::Deactivated => ("UserService/DeactivateUser", json!({ "id": person.id })),
            Self::Demoted => (
                "UserService/UpdateUserServerRole",
                json!({ "userId": person.id, "serverRole": 2 }),
            ),
        };
        app.call(&app.admin.token, procedure, message).await.ok();
    }
}

/// A request whose head was sent and whose body was not.
struct WithheldRequest {
    release: oneshot::Sender<()>,
    reply: JoinHandle<HttpResponse>,
}

impl WithheldRequest {
    /// Sends the head, and waits until the server has authenticated the caller from its cache, if it does so
    /// before the body.
    async fn send(app: &TestApp, request: Request<Bytes>, http2: bool, looks_now: bool) -> Self {
        let (mut head, body) = request.into_parts();
        let target = head.uri.path_and_query().unwrap();
        head.uri = format!("http://{}{target}", app.client.server)
            .parse()
            .unwrap();
        // The end of an empty body is withheld, too: it is chunked.
        if !body.is_empty() {
            let length = body.len().into();
            head.headers.insert(header::CONTENT_LENGTH, length);
        }
        let (release, released) = oneshot::channel();
        let body = stream::once(async move {
            let released: Result<(), _> = released.await;
            released.unwrap();
            Ok::<_, Infallible>(Frame::data(body))
        });
        let request = Request::from_parts(head, StreamBody::new(body).boxed());
        let before = lookups(app);
        let client: Client<HttpConnector, BoxBody<Bytes, Infallible>> =
            Client::builder(TokioExecutor::new())
                .http2_only(http2)
                .build(HttpConnector::new());
        let reply = tokio::spawn(async move {
            let response = client.request(request).await.unwrap();
            HttpResponse::read(response).await
        });
        let looked = async {
            while looks_now && lookups(app) == before {
                tokio::task::yield_now().await;
            }
        };
        let looked = time::timeout(Duration::from_secs(20), looked).await;
        looked.expect("the server authenticates the caller before the body");
        Self { release, reply }
    }

    async fn answer(self) -> HttpResponse {
        // The server may have replied already; then the response says why.
        self.release.send(()).ok();
        self.reply.await.unwrap()
    }
}

/// How many tokens the server has looked up.
fn lookups(app: &TestApp) -> u64 {
    let (hits, misses) = app.app.credential_lookups();
    hits + misses
}

/// The credentials in the procedure's rule; endpoints without a caller are not tested here.
fn credentials(procedure: &Procedure) -> Option<Credentials> {
    let line = PROCEDURES
        .iter()
        .find(|line| line.path == procedure.path())?;
    Some(line.credentials).filter(|credentials| !credentials.is_holder())
}

fn with_callers() -> impl Iterator<Item = (Procedure, Credentials)> {
    procedures().filter_map(|procedure| {
        let credentials = credentials(&procedure)?;
        Some((procedure, credentials))
    })
}

/// A case: an admin and its request for another user's data.
struct Case {
    procedure: Procedure,
    looks_now: bool,
    caller: Person,
    token: NewToken,
    message: Value,
}

impl Case {
    async fn new(
        app: &TestApp,
        n: &mut u32,
        procedure: Procedure,
        takes: Credentials,
        fields: Value,
    ) -> Self {
        *n += 1;
        let caller = app.further_admin(&format!("admin-{n}")).await;
        let token = app.sign_in(&caller, fields).await;
        let message = message(app, *n, &procedure).await;
        Self {
            procedure,
            looks_now: takes == Credentials::Token,
            caller,
            token,
            message,
        }
    }

    /// The reply to the request if `change` happens between its head and its body.
    async fn run(&self, app: &TestApp, wire: Wire, change: Change) -> Reply {
        assert!(app.accepts(&self.token.text).await);
        let mut request = wire.request(&self.procedure, &self.message);
        let bearer = format!("Bearer {}", self.token.text).parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        let http2 = wire.protocol == Protocol::Grpc;
        let held = WithheldRequest::send(app, request, http2, self.looks_now).await;
        change.happen(app, &self.caller, &self.token).await;
        wire.answer(&self.procedure, held.answer().await)
    }
}

/// A request of an admin for another user's data.
async fn message(app: &TestApp, n: u32, procedure: &Procedure) -> Value {
    let owner = app.person(&format!("owner-{n}")).await;
    let machine = app.machine(&owner, &format!("robot-{n}")).await;
    let token = json!({ "userId": machine.id });
    let token = app.sign_in(&owner, token).await;
    let path = procedure.path();
    let (_, method) = path.rsplit_once('/').unwrap();
    let name = format!("robot-{n}");
    let mut message = procedure.naming(&machine.id, &name, &token.id);
    let more = match method {
        "CreateToken" => json!({ "username": "" }),
        "UpdateToken" => json!({ "note": "seen" }),
        "UndoRotation" => {
            let rotate = json!({ "tokenId": token.id, "gracePeriod": "3600s" });
            let rotated = app.call(&owner.token, "TokenService/RotateToken", rotate);
            let successor = rotated.await.ok()["metadata"]["id"].clone();
            json!({ "tokenId": successor })
        }
        "CreateUser" => json!({
            "username": format!("newcomer-{n}"),
            "password": "seven drowsy lanterns hum",
        }),
        "UpdateUserSettings" => json!({ "description": "seen" }),
        "UpdateUserServerRole" => json!({ "serverRole": 1 }),
        "SetOwner" => json!({ "ownerId": app.admin.id }),
        "SetPassword" => json!({
            "userId": app.person(&format!("person-{n}")).await.id,
            "newPassword": "a password that is long enough",
        }),
        "VerifyToken" => json!({ "token": token.text }),
        "RevokeTokens" => json!({ "filter": { "userId": machine.id } }),
        "RevokeLeakedTokens" => json!({ "tokens": [token.as_leaked()] }),
        _ => json!({}),
    };
    if let (Some(message), Value::Object(more)) = (message.as_object_mut(), more) {
        message.extend(more);
    }
    message
}

fn outcome(answer: &Reply) -> String {
    match &answer.result {
        Ok(_) => "ok".to_owned(),
        Err(failure) => format!("{} {}", failure.code, failure.reason()),
    }
}

async fn run_all(wire: Wire, changes: &[(Change, &str)]) {
    let app = TestApp::start().await;
    let (mut n, mut faults) = (0, Vec::new());
    for (procedure, takes) in with_callers() {
        for (change, reason) in changes {
            let fields = match change {
                Change::Expired => json!({ "expireTime": app.clock.after(HOUR) }),
                _ => json!({}),
            };
            let case = Case::new(&app, &mut n, procedure.clone(), takes, fields).await;
            let got = outcome(&case.run(&app, wire, *change).await);
            let expected = match change {
                Change::Nothing => "ok".to_owned(),
                _ => format!("unauthenticated {reason}"),
            };
            if got != expected {
                faults.push(format!("{} {change:?}: {got}", procedure.path()));
            }
        }
    }
    assert!(n >= 30, "{n} cases");
    app.stop().await;
    assert!(faults.is_empty(), "{wire:?}: {faults:#?}");
}

#[tokio::test]
async fn caller_that_lost_access_before_its_body_came_is_refused_by_every_procedure() {
    run_all(Wire::CURL, &Change::FATAL).await;
}

#[tokio::test]
async fn caller_that_lost_access_before_its_body_came_is_refused_in_every_protocol() {
    for wire in Wire::POST {
        run_all(wire, &Change::FATAL[..1]).await;
    }
}

/// The control: a late body alone is not refused.
#[tokio::test]
async fn unchanged_caller_is_served_however_late_its_body_comes() {
    for wire in Wire::POST {
        run_all(wire, &[(Change::Nothing, "")]).await;
    }
}

#[tokio::test]
async fn admin_demoted_before_its_body_comes_has_only_a_members_rights() {
    let app = TestApp::start().await;
    let (mut n, mut refused, mut faults) = (0, 0, Vec::new());
    for (procedure, takes) in with_callers() {
        // A member's result for the same request.
        let case = Case::new(&app, &mut n, procedure.clone(), takes, json!({})).await;
        Change::Demoted
            .happen(&app, &case.caller, &case.token)
            .await;
        let path = procedure.path();
        let fresh = app.call(&case.token.text, &path[1..], case.message.clone());
        let expected = outcome(&fresh.await);

        let case = Case::new(&app, &mut n, procedure, takes, json!({})).await;
        let got = outcome(&case.run(&app, Wire::CURL, Change::Demoted).await);
        refused += u32::from(got != "ok");
        if got != expected {
            faults.push(format!("{path}: {got}, not {expected}"));
        }
    }
    assert!(refused >= 20, "{refused} refused");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn oauth_clients_are_authenticated_after_the_form_arrived() {
    let app = TestApp::start().await;
    let root = &app.admin.token;
    for by_basic in [false, true] {
        for (path, change, status) in [
            ("/oauth2/introspect", Change::Nothing, 200),
            ("/oauth2/introspect", Change::Deleted, 401),
            ("/oauth2/introspect", Change::Disabled, 401),
            ("/oauth2/revoke", Change::Nothing, 200),
            ("/oauth2/revoke", Change::Deleted, 401),
        ] {
            let client = app.child(root, json!({})).await;
            let asked = app.child(root, json!({})).await;
            assert!(app.accepts(&client.text).await && app.accepts(&asked.text).await);
            let authorization = if by_basic {
                basic("x", &client.text)
            } else {
                format!("Bearer {}", client.text)
            };
            let request = Request::post(path)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("authorization", authorization)
                .body(Bytes::from(format!("token={}", asked.text)));
            // A client's credential may be in the form, so it is checked once the form has arrived.
            let held = WithheldRequest::send(&app, request.unwrap(), false, false).await;
            change.happen(&app, &app.admin, &client).await;
            let reply = held.answer().await;
            assert_eq!(reply.head.status, status, "{path} {change:?} {by_basic}");
            let is_revoked = path == "/oauth2/revoke" && status == 200;
            assert_eq!(app.accepts(&asked.text).await, !is_revoked);
        }
    }
}

/// The control: a server that checked only the head would serve them.
#[tokio::test]
async fn caller_that_is_not_checked_again_would_be_served() {
    let app = TestApp::start().await;
    let token = app.child(&app.admin.token, json!({})).await;
    let origin = ClientInfo {
        request_id: RequestId::generate(app.app.now()),
        client_request_id: None,
        ip: None,
        user_agent: String::new(),
    };
    let caller = app
        .app
        .authenticate(&token.text, &origin.clone().into())
        .await
        .unwrap();
    app.app.recheck(&caller).await.unwrap();
    Change::Deleted.happen(&app, &app.admin, &token).await;
    let question = VerifyToken::parse(PresentedToken::parse(&app.admin.token), [], "");
    let answer = app.app.verify_for(&caller, question).await.unwrap();
    assert!(matches!(answer, Verification::Valid(_)));
    let again = app.app.recheck(&caller).await;
    assert!(matches!(again, Err(Error::Unauthenticated(_))));
}
