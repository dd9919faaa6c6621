//! The HTTP endpoints at which tokens are verified and revoked, by every caller. The
//! expectation is written independently of the code.

use std::collections::BTreeSet;

use hallpass::server::endpoints::{self, Credentials};
use http::Method;

use crate::{
    client::{Call, Codec, Protocol, Wire},
    envoy::{self, bearer, check},
    introspection::basic,
};

use super::{callers::Caller, cases::Snapshot, fixture::Fixture};

#[derive(Clone, Copy, Debug)]
enum Endpoint {
    /// Verifies the admin's token.
    IntrospectByBearer,
    IntrospectByBasic,
    /// Revokes an unknown token, as a caller.
    RevokeAsCaller,
    /// Revokes the presented token, without a caller.
    RevokeItself,
    ForwardAuth,
    ForwardAuthWithScope,
    Check,
    CheckWithScope,
}

use Endpoint::{
    Check, CheckWithScope, ForwardAuth, ForwardAuthWithScope, IntrospectByBasic,
    IntrospectByBearer, RevokeAsCaller, RevokeItself,
};

const ALL: [Endpoint; 8] = [
    IntrospectByBearer,
    IntrospectByBasic,
    RevokeAsCaller,
    RevokeItself,
    ForwardAuth,
    ForwardAuthWithScope,
    Check,
    CheckWithScope,
];

impl Endpoint {
    fn path(self) -> &'static str {
        match self {
            IntrospectByBearer | IntrospectByBasic => "/oauth2/introspect",
            RevokeAsCaller | RevokeItself => "/oauth2/revoke",
            ForwardAuth | ForwardAuthWithScope => "/forward-auth",
            Check | CheckWithScope => "/envoy.service.auth.v3.Authorization/Check",
        }
    }
}

/// Every endpoint that takes a token in another way is in `ALL`.
#[test]
fn every_listed_endpoint_is_tested() {
    let asked: BTreeSet<_> = ALL.map(Endpoint::path).into();
    let listed = endpoints::all()
        .filter(|line| line.credentials.is_holder() || line.credentials == Credentials::Client);
    assert_eq!(asked, listed.map(|line| line.path).collect());
}

/// The identity that proxies receive for a caller that may pass.
fn identity(caller: &Caller) -> String {
    let user = &caller.who.oneself;
    let mut scopes = caller.scopes.clone().unwrap_or_default();
    scopes.sort();
    let scopes = scopes.join(" ");
    format!(
        "200 {} {} {} [{scopes}]",
        user.name, user.id, caller.token_id
    )
}

/// The expected result.
fn expected(endpoint: Endpoint, caller: &Caller) -> String {
    let refused = caller.refused.is_some();
    let holds_a_secret = caller
        .refused
        .is_none_or(|reason| !reason.starts_with("CREDENTIALS"));
    match endpoint {
        IntrospectByBearer | IntrospectByBasic | ForwardAuth | ForwardAuthWithScope | Check
        | CheckWithScope
            if refused =>
        {
            "401".to_owned()
        }
        IntrospectByBearer | IntrospectByBasic if !caller.has("hallpass:tokens:verify") => {
            "401".to_owned()
        }
        IntrospectByBearer | IntrospectByBasic => "200 true".to_owned(),
        ForwardAuthWithScope | CheckWithScope if !caller.has("deploy") => "403".to_owned(),
        ForwardAuth | ForwardAuthWithScope | Check | CheckWithScope => identity(caller),
        RevokeAsCaller if refused && !caller.token.is_empty() => "401".to_owned(),
        RevokeItself if caller.token.is_empty() => "400".to_owned(),
        RevokeItself if holds_a_secret && caller.refused != Some("TOKEN_DELETED") => {
            "200 changed".to_owned()
        }
        RevokeAsCaller | RevokeItself => "200 same".to_owned(),
    }
}

/// The actual result.
async fn run(fixture: &Fixture, undo: &Snapshot, endpoint: Endpoint, caller: &Caller) -> String {
    let client = &fixture.app.client;
    let token = match endpoint {
        IntrospectByBasic => basic("anyone", &caller.token),
        _ => format!("Bearer {}", caller.token),
    };
    let token = [("authorization", &*token)];
    let token = if caller.token.is_empty() {
        &[][..]
    } else {
        &token
    };
    match endpoint {
        IntrospectByBearer | IntrospectByBasic => {
            let form = [("token", &*fixture.app.admin.token)];
            let reply = client.form(endpoint.path(), token, &form).await;
            let active = reply
                .json()
                .get("active")
                .map(|active| format!(" {active}"));
            format!(
                "{}{}",
                reply.head.status.as_u16(),
                active.unwrap_or_default()
            )
        }
        RevokeAsCaller | RevokeItself => {
            let (as_caller, shown) = match endpoint {
                RevokeItself => (&[][..], &*caller.token),
                _ => (token, "hallpass_unknown"),
            };
            let before = undo.state();
            let reply = client
                .form(endpoint.path(), as_caller, &[("token", shown)])
                .await;
            let changed = before != undo.state();
            undo.undo();
            let what = match (reply.head.status.as_u16(), changed) {
                (200, true) => " changed",
                (200, false) => " same",
                (_, true) => " refused and changed",
                (_, false) => "",
            };
            format!("{}{what}", reply.head.status.as_u16())
        }
        ForwardAuth | ForwardAuthWithScope => {
            let rest = match endpoint {
                ForwardAuth => "/any",
                _ => "?scope=deploy",
            };
            let path = format!("{}{rest}", endpoint.path());
            let reply = client.ask(Method::GET, &path, token).await;
            if reply.head.status != 200 {
                return reply.head.status.as_u16().to_string();
            }
            let told = |name: &str| reply.head.headers[name].to_str().unwrap().to_owned();
            let (user, id) = (told("x-auth-user"), told("x-auth-user-id"));
            let (token, scopes) = (told("x-auth-token-id"), told("x-auth-scopes"));
            format!("200 {user} {id} {token} [{scopes}]")
        }
        Check | CheckWithScope => {
            let scope = matches!(endpoint, CheckWithScope).then_some("deploy");
            let headers = match token {
                [] => serde_json::json!({}),
                _ => bearer(&caller.token),
            };
            let message = check(headers, "127.0.0.1", scope);
            let call = Call::new(&endpoint.path()[1..], message);
            let wire = Wire::new(Protocol::Grpc, Codec::Proto);
            match envoy::verdict(&client.call(wire, call).await.ok()) {
                Err((16, ..)) => "401".to_owned(),
                Err(_) => "403".to_owned(),
                Ok(told) => {
                    let told = |name: &str| told[name].as_str().unwrap().to_owned();
                    let (user, id) = (told("x-auth-user"), told("x-auth-user-id"));
                    let (token, scopes) = (told("x-auth-token-id"), told("x-auth-scopes"));
                    format!("200 {user} {id} {token} [{scopes}]")
                }
            }
        }
    }
}

async fn faults(fixture: &Fixture, undo: &Snapshot, caller: &Caller) -> Vec<String> {
    let mut faults = Vec::new();
    for endpoint in ALL {
        let (expected, got) = (
            expected(endpoint, caller),
            run(fixture, undo, endpoint, caller).await,
        );
        if got != expected {
            let name = &caller.name;
            faults.push(format!("{endpoint:?} by {name}: {got}, not {expected}"));
        }
    }
    faults
}

#[tokio::test]
async fn every_endpoint_case_ends_as_expected() {
    let fixture = Box::pin(Fixture::make()).await;
    let undo = Snapshot::new(&fixture);
    let callers = fixture.callers.iter().filter(|caller| !caller.by_password);
    let callers: Vec<_> = callers.collect();
    let mut all = Vec::new();
    for caller in callers {
        all.extend(faults(&fixture, &undo, caller).await);
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// The control: each changes the data that one check reads, as if that check were missing.
#[tokio::test]
async fn one_missing_check_is_detected() {
    let fixture = Box::pin(Fixture::make()).await;
    let undo = Snapshot::new(&fixture);
    // All endpoints but these depend on the changed data.
    let (revoke, itself) = (&[RevokeAsCaller, RevokeItself][..], &[RevokeItself][..]);
    for (name, doctor, others) in [
        (
            "member with hallpass:users:read",
            "UPDATE tokens SET scopes = ''",
            revoke,
        ),
        (
            "child of a narrowed parent",
            "UPDATE tokens SET scopes = ''",
            revoke,
        ),
        ("expired", "UPDATE tokens SET expire_time = NULL", itself),
        ("deleted", "UPDATE tokens SET delete_time = NULL", &[]),
        ("disabled parent", "UPDATE tokens SET disabled = 0", itself),
        (
            "deactivated user",
            "UPDATE users SET deactivated = 0",
            itself,
        ),
        (
            "wrong address",
            "UPDATE tokens SET allowed_cidrs = ''",
            itself,
        ),
    ] {
        let caller = fixture.callers.iter().find(|caller| caller.name == name);
        let caller = caller.expect("a caller of this name");
        assert_eq!(faults(&fixture, &undo, caller).await, [""; 0], "{name}");
        fixture.app.sql().execute_batch(doctor).unwrap();
        fixture.app.reread().await;
        // The changed state is what the cases restore.
        let doctored = Snapshot::new(&fixture);
        let faults = faults(&fixture, &doctored, caller).await;
        assert_eq!(faults.len(), ALL.len() - others.len(), "{name}: {faults:?}");
        undo.undo();
    }
}
