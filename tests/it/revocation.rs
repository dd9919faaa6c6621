//! Revocation is linearisable: once it is acknowledged, no check that starts later succeeds. Eight readers check a
//! token without a pause while it is revoked, by the server itself and by a command: over sockets,
//! and in the process, where the cache serves nearly all checks.

mod race;
mod surfaces;

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use hallpass::{
    app::{App, Error, caller::ClientInfo},
    domain::{clock::Clock, id::RequestId},
};
use serde_json::{Value, json};
use tokio::task::{spawn_blocking, yield_now};

use crate::{
    cli::sandbox::Sandbox,
    client::{Call, Client, Codec, Protocol, Wire},
    test_app::{NewToken, Person, TestApp},
};

use self::{
    race::{Race, Verify},
    surfaces::verify,
};

/// Checks per round where the cache is tested: at its end each reader misses about once.
const CHECKS: usize = 200;

const ME: &str = "AuthnService/GetCurrentUser";

/// Checks over the network, each reader over another wire.
fn ask(client: &Client) -> Verify {
    let client = client.clone();
    let wires = [
        Wire::CURL,
        Wire::new(Protocol::ConnectGet, Codec::Json),
        Wire::new(Protocol::Grpc, Codec::Proto),
        Wire::new(Protocol::GrpcWeb, Codec::Proto),
    ];
    Arc::new(move |reader, token: String| {
        let (client, wire) = (client.clone(), wires[reader % wires.len()]);
        Box::pin(async move {
            let call = Call::new(ME, json!({})).bearer(&token);
            match client.call(wire, call).await.result {
                Ok(_) => true,
                Err(failure) if failure.code == "unauthenticated" => false,
                Err(failure) => panic!("neither accepted nor refused: {failure:?}"),
            }
        })
    })
}

/// Checks by the use case, without a socket.
fn ask_within(app: &TestApp) -> Verify {
    let origin = ClientInfo {
        request_id: RequestId::generate(app.clock.now()),
        client_request_id: None,
        ip: Some(Ipv4Addr::LOCALHOST.into()),
        user_agent: String::new(),
    };
    let app: App = app.app.clone();
    Arc::new(move |_, token| {
        let (app, origin) = (app.clone(), origin.clone());
        Box::pin(async move {
            // Yield, since a cached check never waits.
            yield_now().await;
            match app.authenticate(&token, &origin.clone().into()).await {
                Ok(_) => true,
                Err(Error::Unauthenticated(_)) => false,
                Err(error) => panic!("neither accepted nor refused: {error:?}"),
            }
        })
    })
}

/// Half of the readers check over the network, half by the use case.
fn ask_both(app: &TestApp) -> Verify {
    let (outside, within) = (ask(&app.client), ask_within(app));
    Arc::new(move |reader, token| match reader % 2 {
        0 => outside(reader / 2, token),
        _ => within(reader, token),
    })
}

/// Half of the readers authenticate, half verify.
fn ask_everywhere(client: &Client, asker: &str) -> Verify {
    let (callers, verifiers) = (ask(client), verify(client, asker));
    Arc::new(move |reader, token| match reader % 2 {
        0 => callers(reader / 2, token),
        _ => verifiers(reader / 2, token),
    })
}

/// Asserts that the cache served nearly all checks.
fn was_from_memory(app: &TestApp) {
    let (hits, misses) = app.app.credential_lookups();
    assert!(hits > 10 * misses, "{hits} hits, {misses} misses");
}

async fn done(app: &TestApp, procedure: &str, message: Value) {
    let answer = app.call(&app.admin.token, procedure, message);
    answer.await.ok();
}

async fn delete(app: &TestApp, token: &NewToken) {
    done(
        app,
        "TokenService/DeleteToken",
        json!({ "tokenId": token.id }),
    )
    .await;
}

/// Revokes a token by RFC 7009, as its holder.
async fn revoke(app: &TestApp, token: &NewToken) {
    let form = [("token", &*token.text)];
    let reply = app.client.form("/oauth2/revoke", &[], &form).await;
    assert_eq!(reply.head.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_that_starts_after_a_deletion_succeeds() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let race = Race::start(ask_both(&app)).of_at_least(CHECKS);
    for _ in 0..100 {
        // Ten at a time, which share a commit.
        let ten = (0..10).map(|_| app.sign_in(&alice, json!({})));
        for token in join_all(ten).await {
            race.round(&token.text, delete(&app, &token)).await;
        }
    }
    assert_eq!(race.end().await, 0);
    was_from_memory(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_verification_that_starts_after_a_deletion_or_revocation_succeeds() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    // Each check over the network looks up two tokens.
    let race = Race::start(verify(&app.client, &app.admin.token)).of_at_least(CHECKS / 4);
    for _ in 0..100 {
        let ten = (0..10).map(|_| app.sign_in(&alice, json!({})));
        for (n, token) in join_all(ten).await.into_iter().enumerate() {
            match n % 3 {
                0 => race.round(&token.text, delete(&app, &token)).await,
                1 => race.round(&token.text, revoke(&app, &token)).await,
                _ => {
                    let child = app.child(&token.text, json!({})).await;
                    race.round(&child.text, revoke(&app, &token)).await;
                }
            }
        }
    }
    assert_eq!(race.end().await, 0);
    was_from_memory(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_that_starts_after_the_parents_deletion_succeeds() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let race = Race::start(ask_both(&app)).of_at_least(CHECKS);
    for _ in 0..200 {
        let parent = app.sign_in(&alice, json!({})).await;
        let child = app.child(&parent.text, json!({})).await;
        race.round(&child.text, delete(&app, &parent)).await;
    }
    assert_eq!(race.end().await, 0);
    was_from_memory(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_that_starts_after_a_disabling_succeeds() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    let child = app.child(&token.text, json!({})).await;
    let set = async |disabled: bool| {
        let message = json!({ "tokenId": token.id, "disabled": disabled });
        done(&app, "TokenService/UpdateToken", message).await;
    };
    let race = Race::start(ask(&app.client));
    for of in [&token, &child] {
        for _ in 0..100 {
            race.round(&of.text, set(true)).await;
            set(false).await;
        }
    }
    assert_eq!(race.end().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_that_starts_after_a_rotation_without_a_grace_succeeds() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let race = Race::start(ask(&app.client));
    let mut token = app.sign_in(&alice, json!({})).await;
    for _ in 0..100 {
        let mut next = None;
        let rotate = async {
            let message = json!({ "tokenId": token.id });
            let reply = app.call(&alice.token, "TokenService/RotateToken", message);
            next = Some(NewToken::read(&reply.await.ok()));
        };
        race.round(&token.text, rotate).await;
        token = next.unwrap();
    }
    assert_eq!(race.end().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_that_starts_after_a_deactivation_succeeds() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let id = json!({ "id": alice.id });
    let race = Race::start(ask_both(&app)).of_at_least(CHECKS);
    for _ in 0..200 {
        let deactivate = done(&app, "UserService/DeactivateUser", id.clone());
        race.round(&alice.token, deactivate).await;
        done(&app, "UserService/ReactivateUser", id.clone()).await;
    }
    assert_eq!(race.end().await, 0);
    was_from_memory(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_that_starts_after_a_revocation_in_bulk_succeeds() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let race = Race::start(ask(&app.client));
    for round in 0..200 {
        let token = app.sign_in(&alice, json!({})).await;
        let request = if round % 2 == 0 {
            json!({ "filter": { "userId": alice.id } })
        } else {
            json!({ "tokens": [token.text] })
        };
        let revoke = done(&app, "AdminService/RevokeTokens", request);
        race.round(&token.text, revoke).await;
    }
    assert_eq!(race.end().await, 0);
}

/// Fewer rounds than by RPC, since each starts a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_that_starts_after_a_command_has_ended_succeeds() {
    let sandbox = Arc::new(Sandbox::empty());
    let server = sandbox.serve(&[]);
    sandbox.create_person("alice");
    let client = Client::new(server.address.parse().unwrap());
    let run = async |args: &[&str]| {
        let sandbox = Arc::clone(&sandbox);
        let args: Vec<_> = args.iter().map(ToString::to_string).collect();
        let run = move || sandbox.print(&args.iter().map(String::as_str).collect::<Vec<_>>());
        spawn_blocking(run).await.unwrap()
    };
    let create = async || {
        run(&["token", "create", "alice"])
            .await
            .trim_end()
            .to_owned()
    };
    sandbox.create_person("auditor");
    let asker = run(&["token", "create", "auditor"]).await;
    let race = Race::start(ask_everywhere(&client, asker.trim_end()));
    for _ in 0..50 {
        let token = create().await;
        let id = token.split('_').nth(1).unwrap();
        let delete = async {
            run(&["token", "delete", id]).await;
        };
        race.round(&token, delete).await;
    }
    for _ in 0..20 {
        let parent = create().await;
        let child = Call::new("TokenService/CreateToken", json!({})).bearer(&parent);
        let child = NewToken::read(&client.call(Wire::CURL, child).await.ok());
        let id = parent.split('_').nth(1).unwrap();
        let delete = async {
            run(&["token", "delete", id]).await;
        };
        race.round(&child.text, delete).await;
    }
    let token = create().await;
    for _ in 0..20 {
        let deactivate = async {
            run(&["user", "deactivate", "alice", "--yes"]).await;
        };
        race.round(&token, deactivate).await;
        run(&["user", "reactivate", "alice"]).await;
    }
    assert_eq!(race.end().await, 0);
}

/// The command is a separate process, as above, and nothing slows the checks down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cached_check_that_starts_after_a_command_has_ended_succeeds() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let run = async |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        command
            .args(args)
            .env_clear()
            .env("HALLPASS_DATABASE_URL", app.database_url());
        let ran = spawn_blocking(move || command.output().unwrap()).await;
        let ran = ran.unwrap();
        assert!(ran.status.success(), "{ran:?}");
    };
    let race = Race::start(ask_within(&app));
    for nth in 0..50 {
        let token = app.sign_in(&alice, json!({})).await;
        let child = app.child(&token.text, json!({})).await;
        let (asked, delete) = match nth % 2 {
            0 => (&token, &token.id),
            _ => (&child, &token.id),
        };
        race.round(&asked.text, run(&["token", "delete", delete]))
            .await;
    }
    for _ in 0..20 {
        let deactivate = run(&["user", "deactivate", "alice", "--yes"]);
        race.round(&alice.token, deactivate).await;
        run(&["user", "reactivate", "alice"]).await;
    }
    assert_eq!(race.end().await, 0);
    was_from_memory(&app);
}

/// The control: a cache in front of the server that keeps a success for one second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_second_cache_is_detected() {
    let app = TestApp::start().await;
    let alice: Person = app.person("alice").await;
    let (asked, known) = (ask(&app.client), Arc::new(Mutex::new(HashMap::new())));
    let cached: Verify = Arc::new(move |reader, token: String| {
        let (asked, known) = (Arc::clone(&asked), Arc::clone(&known));
        Box::pin(async move {
            let since = known.lock().unwrap().get(&token).map(Instant::elapsed);
            if since.is_some_and(|since| since < Duration::from_secs(1)) {
                yield_now().await;
                return true;
            }
            let valid = asked(reader, token.clone()).await;
            if valid {
                known.lock().unwrap().insert(token, Instant::now());
            }
            valid
        })
    });
    let race = Race::start(cached);
    for _ in 0..5 {
        let token = app.sign_in(&alice, json!({})).await;
        race.round(&token.text, delete(&app, &token)).await;
    }
    assert!(race.end().await > 0);
}
