//! The authorisation matrix: every procedure of the descriptors by every caller on every target over every
//! protocol, against a table that is written down here once more (`matrix/table.rs`).

mod callers;
mod cases;
mod controls;
mod endpoints;
mod table;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use crate::client::{Codec, Protocol, Wire, procedures};

use self::{
    cases::{Case, Undo},
    table::TABLE,
    world::{Target, World},
};

/// What is not as the table says; and refusals that tell apart what they must not.
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
        // Whatever is refused for one reason is refused alike, to the byte.
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
    let world = World::make().await;
    let undo = Undo::new(&world);
    let mut cases = Vec::new();
    for line in TABLE {
        for caller in &world.callers {
            cases.extend(world.run(&undo, wire, line, caller).await);
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
    // So that a slip in a loop cannot shrink the matrix.
    assert_eq!(world.callers.len(), 43 + 2);
    assert_eq!(cases.len(), 43 * (5 * 9 + 12 * 8 + 11) + 2 * 8, "{wire:?}");
}

#[tokio::test]
async fn every_case_ends_as_the_table_says_over_connect_json() {
    run_all(Wire::CURL).await;
}

#[tokio::test]
async fn every_case_ends_as_the_table_says_over_connect_binary() {
    run_all(Wire::new(Protocol::Connect, Codec::Proto)).await;
}

#[tokio::test]
async fn every_case_ends_as_the_table_says_over_grpc() {
    run_all(Wire::new(Protocol::Grpc, Codec::Proto)).await;
}

#[tokio::test]
async fn every_case_ends_as_the_table_says_over_grpc_web() {
    run_all(Wire::new(Protocol::GrpcWeb, Codec::Proto)).await;
}

#[test]
fn every_procedure_has_a_line() {
    let served: BTreeSet<_> = procedures()
        .map(|procedure| procedure.path()[1..].to_owned())
        .collect();
    let mut lines: BTreeSet<_> = TABLE.iter().map(|line| line.procedure.to_owned()).collect();
    // Without a caller: among the endpoints.
    lines.insert("envoy.service.auth.v3.Authorization/Check".to_owned());
    assert_eq!(served, lines);
}
