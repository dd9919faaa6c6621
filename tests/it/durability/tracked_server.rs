//! A server whose tokens' acknowledged states are known while faults are injected.

use std::{io, path::Path, process::Command};

use serde_json::{Value, json};

use super::{
    client::{Client, Reply, id_of},
    recovered::{State, compare},
    server::{PASSWORD, Server},
};

/// The error of a store that cannot be used.
pub(super) const UNAVAILABLE: &str = "unavailable STORE_UNAVAILABLE";
pub(super) const DELETED: &str = "unauthenticated TOKEN_DELETED";

const CREATE: &str = "TokenService/CreateToken";

/// Long notes make the log grow, and with it the space it needs.
fn long_note() -> Value {
    json!({ "note": "n".repeat(1_000) })
}

/// A server and what it has acknowledged.
pub(super) struct TrackedServer {
    pub(super) server: Server,
    pub(super) admin: String,
    tokens: Vec<(String, State)>,
    client: Client,
}

impl TrackedServer {
    /// Starts `command` on an empty folder.
    pub(super) fn start(command: Command) -> Self {
        let mut tracked = Self::again(command, Vec::new());
        for number in 0..10 {
            tracked.create().unwrap();
            if number % 2 == 0 {
                tracked.delete(number / 2).unwrap();
            }
        }
        tracked
    }

    /// Starts `command` on a folder that has `tokens`.
    pub(super) fn again(command: Command, tokens: Vec<(String, State)>) -> Self {
        let server = Server::spawn(command).expect("it serves");
        let mut client = Client::connect(server.address).unwrap();
        let admin = client.sign_in(PASSWORD).unwrap().text("token");
        Self {
            server,
            admin,
            tokens,
            client,
        }
    }

    pub(super) fn known(&self) -> Vec<(String, State)> {
        self.tokens.clone()
    }

    /// A new connection: a refusal may have closed the old one.
    pub(super) fn client(&self) -> Client {
        Client::connect(self.server.address).unwrap()
    }

    fn call(&mut self, procedure: &str, bearer: &str, message: &Value) -> Reply {
        if let Ok(reply) = self.client.call(procedure, bearer, message) {
            return reply;
        }
        self.client = self.client();
        self.client.call(procedure, bearer, message).unwrap()
    }

    /// Creates a token and notes it once that is acknowledged.
    pub(super) fn create(&mut self) -> Result<(), String> {
        let reply = self.call(CREATE, &self.admin.clone(), &long_note());
        self.know(&reply)
    }

    /// The same on a server that may have ended.
    pub(super) fn try_create(&mut self) -> io::Result<Result<(), String>> {
        let reply = self.client.call(CREATE, &self.admin, &long_note())?;
        Ok(self.know(&reply))
    }

    fn know(&mut self, created: &Reply) -> Result<(), String> {
        if created.outcome() != "ok" {
            return Err(created.outcome());
        }
        self.tokens.push((created.text("token"), State::Live));
        Ok(())
    }

    /// Deletes the token `at` and notes it likewise. A failed deletion has no effect.
    pub(super) fn delete(&mut self, at: usize) -> Result<(), String> {
        let (admin, id) = (self.admin.clone(), id_of(&self.tokens[at].0));
        let reply = self.call(
            "TokenService/DeleteToken",
            &admin,
            &json!({ "tokenId": id }),
        );
        if reply.outcome() != "ok" {
            return Err(reply.outcome());
        }
        self.tokens[at].1 = State::Deleted;
        Ok(())
    }

    /// A live token to delete.
    pub(super) fn some_live(&self) -> usize {
        let live = |(_, state): &(String, State)| *state == State::Live;
        self.tokens
            .iter()
            .position(live)
            .expect("there are live tokens")
    }

    /// Gets the last twenty tokens and the list. Each reply must be correct or, where `may_fail`, unavailable.
    /// Returns how many were correct and how many unavailable.
    pub(super) fn look(&mut self, may_fail: bool) -> (usize, usize) {
        let (mut answered, mut failed) = (0, 0);
        let from = self.tokens.len().saturating_sub(20);
        for (token, state) in self.tokens.clone().split_off(from) {
            let outcome = self
                .call("AuthnService/GetCurrentUser", &token, &json!({}))
                .outcome();
            let expected = if state == State::Live { "ok" } else { DELETED };
            if outcome == expected {
                answered += 1;
            } else {
                assert!(
                    may_fail && outcome == UNAVAILABLE,
                    "{expected} became {outcome}: {}",
                    self.server.log()
                );
                failed += 1;
            }
        }
        let admin = self.admin.clone();
        let message = json!({ "pageSize": 3 });
        let reply = self.call("TokenService/ListTokens", &admin, &message);
        if reply.outcome() == "ok" {
            let listed = reply.body["tokens"].as_array().map_or(0, Vec::len);
            assert_eq!(listed, 3, "an incomplete list: {reply:?}");
            answered += 1;
        } else {
            assert!(may_fail && reply.outcome() == UNAVAILABLE, "{reply:?}");
            failed += 1;
        }
        assert!(self.server.is_alive());
        (answered, failed)
    }

    /// Asserts that everything is as acknowledged, now and after a kill -9, and that nothing panicked.
    pub(super) fn finish(mut self, folder: &Path) {
        self.create().expect("the server recovered by itself");
        let live = self.some_live();
        self.delete(live).expect("the server recovered by itself");
        assert_eq!(self.look(false).1, 0);
        self.server.kill();
        assert!(
            !self.server.log().contains("panicked"),
            "{}",
            self.server.log()
        );
        self.server = Server::start(folder);
        self.client = self.client();
        self.look(false);
        let known: Vec<_> = self
            .tokens
            .iter()
            .map(|(token, state)| (token.as_str(), *state))
            .collect();
        assert_eq!(compare(folder, &known).unwrap().sum(), 0);
        self.server.stop();
    }
}
