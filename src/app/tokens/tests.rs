//! Refusing a target that the caller may not see costs as much as one that does not exist: as many SQL statements with
//! as many steps.

use std::sync::Arc;

use super::*;
use crate::{
    app::{
        caller::ClientInfo,
        credential_cache::CachedCredential,
        users::{self, Found},
    },
    domain::id::{RequestId, UserId},
    store::{
        Stamp,
        tests::samples::{NOW, cost, hash, in_memory, machine, person, token, transaction},
        users as stored_users,
    },
};

/// Number of SQL statements and of their steps.
type Cost = (usize, i64);

/// Alice, who is the caller, and the users and tokens that she may not see.
struct Fixture {
    connection: rusqlite::Connection,
    caller: Caller,
    users: [(&'static str, String); 5],
    tokens: [(&'static str, Option<TokenId>); 5],
}

impl Fixture {
    fn new() -> Self {
        let connection = in_memory();
        let (alice, bob, dora) = (person("alice"), person("bob"), person("dora"));
        let bobs_machine = machine("robot", &bob);
        let [own, bobs, machines, deleted] = [&alice, &bob, &bobs_machine, &bob].map(token);
        let caller = {
            let tx = transaction(&connection);
            for user in [&alice, &bob, &dora, &bobs_machine] {
                stored_users::insert(&tx, user, None).unwrap();
            }
            for token in [&own, &bobs, &machines, &deleted] {
                tokens::insert(&tx, token, &hash(token)).unwrap();
            }
            stored_users::mark_deleted(&tx, dora.id, NOW).unwrap();
            tokens::mark_revoked(&tx, deleted.id, NOW).unwrap();
            let credential = tokens::find_credential(&tx, own.id).unwrap().unwrap();
            let known = CachedCredential {
                stamp: Stamp::for_tests(0),
                credential: Arc::new(credential),
            };
            let client = ClientInfo {
                request_id: RequestId::generate(NOW),
                client_request_id: None,
                ip: Some([10, 0, 0, 1].into()),
                user_agent: String::new(),
            };
            Caller::by_token(known, NOW, client).unwrap()
        };
        connection.execute_batch("COMMIT").unwrap();
        Self {
            connection,
            caller,
            users: [
                ("another's", bob.id.to_string()),
                ("another's machine", bobs_machine.id.to_string()),
                ("deleted", dora.id.to_string()),
                ("unknown", UserId::generate(NOW).to_string()),
                ("malformed", "?".to_owned()),
            ],
            tokens: [
                ("another's", Some(bobs.id)),
                ("another's machine's", Some(machines.id)),
                ("deleted", Some(deleted.id)),
                ("unknown", Some(TokenId::generate(NOW))),
                ("malformed", None),
            ],
        }
    }

    /// The cost of refusing each of `targets` to Alice.
    fn costs<T>(
        &self,
        targets: &[(&'static str, T)],
        refuse: impl Fn(&Tx<'_>, &CallerInTx<'_>, &T),
    ) -> Vec<(&'static str, Cost)> {
        let tx = transaction(&self.connection);
        let caller = self.caller.refresh(&tx, NOW).unwrap();
        let cost_of =
            |(name, target): &(&'static str, T)| (*name, cost(|| refuse(&tx, &caller, target)));
        let costs = targets.iter().map(cost_of).collect();
        self.connection.execute_batch("COMMIT").unwrap();
        costs
    }
}

/// Whether the numbers of statements are equal, and the steps differ by no more than an empty column makes.
fn are_alike(costs: &[(&'static str, Cost)]) -> bool {
    let (statements, steps): (Vec<_>, Vec<_>) = costs.iter().map(|(_, cost)| *cost).unzip();
    let (least, most) = (steps.iter().min(), steps.iter().max());
    statements.iter().all(|count| *count == statements[0])
        && most
            .zip(least)
            .is_some_and(|(most, least)| most - least <= 20)
}

#[test]
fn refusing_a_foreign_token_costs_as_much_as_a_missing_one() {
    let fixture = Fixture::new();
    for action in [
        Action::GetToken,
        Action::DeleteToken,
        Action::RotateToken,
        Action::UpdateToken,
        Action::ExplainToken,
    ] {
        for find in [find_target, find_even_revoked] {
            let costs = fixture.costs(&fixture.tokens, |tx, caller, id| {
                let found = find(tx, caller, action, *id);
                assert!(matches!(found, Err(Error::NotFound(Noun::Token))));
            });
            assert!(are_alike(&costs), "{action:?}: {costs:?}");
        }
    }
}

#[test]
fn refusing_a_foreign_user_costs_as_much_as_a_missing_one() {
    let fixture = Fixture::new();
    for action in [
        Action::CreateToken,
        Action::ListTokens,
        Action::GetUser,
        Action::DescribeUser,
        Action::DeactivateUser,
        Action::DeleteUser,
        Action::SetPassword,
    ] {
        let costs = fixture.costs(&fixture.users, |tx, caller, id| {
            let found = users::find_permitted(tx, caller, action, id).unwrap();
            assert!(!matches!(found, Found::Permitted(..)));
        });
        assert!(are_alike(&costs), "{action:?}: {costs:?}");
    }
}

/// The control: with a plain lookup of the row, the costs differ.
#[test]
fn plain_lookup_is_seen_to_cost_differently() {
    let fixture = Fixture::new();
    let costs = fixture.costs(&fixture.tokens, |tx, _, id| {
        if let Some(id) = id {
            tokens::find_credential(tx, *id).unwrap();
        }
    });
    assert!(!are_alike(&costs), "{costs:?}");
    let costs = fixture.costs(&fixture.tokens[..4], |tx, _, id| {
        tokens::find_credential(tx, id.unwrap()).unwrap();
    });
    assert!(!are_alike(&costs), "{costs:?}");
}
