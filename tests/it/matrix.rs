//! The authorisation matrix: every procedure of the descriptors, by every caller, on every target, over every
//! protocol, compared with an independent table (`matrix/table.rs`).

mod callers;
mod cases;
mod controls;
mod endpoints;
mod fixture;
pub(crate) mod table;

use std::collections::{BTreeMap, BTreeSet};

use hallpass::{
    domain::scope::OwnScope,
    server::endpoints::{Credentials, PROCEDURES},
};

use crate::client::{Codec, Protocol, Wire, procedures};

use self::{
    callers::Caller,
    cases::{Case, Snapshot},
    fixture::{Fixture, Target},
    table::{Permission, TABLE},
};

/// Cases that differ from the table, and refusals that reveal more than they may.
fn faults(cases: &[Case]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut refusals: BTreeMap<_, &Case> = BTreeMap::new();
    for case in cases {
        let Case {
            line,
            caller,
            target,
            expected,
            got,
            raw,
        } = case;
        let name = format!("{} {} by {caller}", line.procedure, line.variant);
        if got != expected {
            faults.push(format!("{name} to {target:?}: {got}, not {expected}"));
        }
        if raw.is_none() || *target == Target::Empty {
            continue;
        }
        // Refusals with the same reason are equal to the byte.
        let first = refusals.entry((name.clone(), got)).or_insert(case);
        if first.raw != *raw {
            let (raw, other, first) = (raw.as_ref(), first.target, first.raw.as_ref());
            faults.push(format!(
                "{name}: {target:?} and {other:?} differ: {raw:?}, {first:?}"
            ));
        }
    }
    faults
}

async fn run_all(wire: Wire) {
    let fixture = Box::pin(Fixture::make()).await;
    let undo = Snapshot::new(&fixture);
    let mut cases = Vec::new();
    for line in TABLE {
        for caller in &fixture.callers {
            cases.extend(fixture.run(&undo, wire, line, caller).await);
        }
    }
    let faults = faults(&cases);
    assert!(
        faults.is_empty(),
        "{} of {}:\n{}",
        faults.len(),
        cases.len(),
        faults.join("\n")
    );
    assert_eq!(cases.len(), size(&fixture.callers), "{wire:?}");
}

/// The expected number of cases, so that a bug in a loop cannot shrink the matrix.
fn size(callers: &[Caller]) -> usize {
    let by_token = callers.iter().filter(|caller| !caller.by_password).count();
    let cases = TABLE.iter().map(|line| {
        let targets = match line.may {
            _ if line.is_of_tokens() => Target::ALL.len(),
            // The target "presented token" exists only for tokens.
            Permission::To { .. } => Target::ALL.len() - 1,
            _ => 1,
        };
        let takes_passwords = credentials(line.procedure) == Credentials::TokenOrPassword;
        targets
            * if takes_passwords {
                callers.len()
            } else {
                by_token
            }
    });
    cases.sum()
}

/// The credentials that a procedure takes according to the endpoint list.
fn credentials(procedure: &str) -> Credentials {
    let listed = PROCEDURES.iter().find(|line| line.path[1..] == *procedure);
    listed.unwrap().credentials
}

#[tokio::test]
async fn every_case_matches_the_table_over_connect_json() {
    run_all(Wire::CURL).await;
}

#[tokio::test]
async fn every_case_matches_the_table_over_connect_binary() {
    run_all(Wire::new(Protocol::Connect, Codec::Proto)).await;
}

#[tokio::test]
async fn every_case_matches_the_table_over_grpc() {
    run_all(Wire::new(Protocol::Grpc, Codec::Proto)).await;
}

#[tokio::test]
async fn every_case_matches_the_table_over_grpc_web() {
    run_all(Wire::new(Protocol::GrpcWeb, Codec::Proto)).await;
}

#[test]
fn every_procedure_is_in_the_table() {
    let served: BTreeSet<_> = procedures()
        .map(|procedure| procedure.path()[1..].to_owned())
        .collect();
    // Endpoints without a caller are tested in `endpoints`.
    let has_caller = |procedure: &String| !credentials(procedure).is_holder();
    let served: BTreeSet<_> = served.into_iter().filter(has_caller).collect();
    let lines: BTreeSet<_> = TABLE.iter().map(|line| line.procedure.to_owned()).collect();
    assert_eq!(served, lines);
}

#[tokio::test]
async fn every_scope_and_every_refusal_reason_has_a_caller() {
    let callers = Box::pin(Fixture::make()).await.callers;
    let names: BTreeSet<_> = callers.iter().map(|caller| &caller.name).collect();
    assert_eq!(names.len(), callers.len());
    for scope in OwnScope::ALL {
        let scope = scope.as_str().to_owned();
        let has = |alone: bool, admin: bool| {
            callers.iter().any(|caller| {
                let scopes = caller.scopes.as_deref().unwrap_or_default();
                caller.who.admin == admin
                    && scopes.contains(&scope)
                    && scopes.len() <= if alone { 1 } else { 2 }
            })
        };
        assert!(has(true, false) && has(false, true), "{scope}");
    }
    let refused: BTreeSet<_> = callers.iter().filter_map(|caller| caller.refused).collect();
    let expected = [
        "ADDRESS_NOT_ALLOWED",
        "CREDENTIALS_INVALID",
        "CREDENTIALS_MISSING",
        "PARENT_INVALID",
        "TOKEN_DELETED",
        "TOKEN_DISABLED",
        "TOKEN_EXPIRED",
        "USER_DEACTIVATED",
    ];
    assert_eq!(refused, expected.into());
}
