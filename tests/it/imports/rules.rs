//! The table.

use super::Import;

const DRIVERS: [&str; 5] = [
    "rusqlite",
    "r2d2",
    "r2d2_sqlite",
    "postgres",
    "tokio_postgres",
];

/// `main` is no module that can be imported.
const FLOORS: [&str; 9] = [
    "domain", "metrics", "store", "app", "server", "cli", "config", "proto", "main",
];

/// What of ours a floor may import besides itself.
fn may_import(floor: &str) -> &'static [&'static str] {
    match floor {
        "store" => &["domain", "metrics"],
        "app" => &["domain", "metrics", "store"],
        "server" => &["domain", "metrics", "app", "proto"],
        // Both put the floors together.
        "config" => &["domain", "store", "app", "server"],
        // Commands are clients of the API.
        "cli" => &[
            "domain", "metrics", "store", "app", "server", "config", "proto",
        ],
        "main" => &["cli", "config"],
        _ => &[],
    }
}

fn never_uses(module: &[String]) -> Vec<&'static str> {
    let protocols = ["axum", "prost", "http", "hyper", "tonic", "connectrpc_axum"];
    let mut never = match module[0].as_str() {
        "domain" | "metrics" => [&protocols[..], &["tokio"]].concat(),
        "store" | "app" => protocols.to_vec(),
        _ => vec![],
    };
    let below_the_driver = module.len() > 1
        && module[0] == "store"
        && ["sqlite", "postgres"].contains(&module[1].as_str());
    if !below_the_driver {
        never.extend(DRIVERS);
    }
    never
}

/// The rules that an import breaks.
pub(super) fn violations(module: &[String], import: &Import) -> Vec<&'static str> {
    let mut broken = Vec::new();
    // The root of the library only names its modules.
    if module.is_empty() {
        return broken;
    }
    match import {
        Import::Crate(name) => {
            if never_uses(module).contains(&name.as_str()) {
                broken.push("not a crate for this floor");
            }
        }
        Import::Ours(path) => {
            let (own, target) = (module[0].as_str(), path[0].as_str());
            assert!(FLOORS.contains(&own), "{own} has no floor");
            let floor = FLOORS.contains(&target);
            if floor && own != target && !may_import(own).contains(&target) {
                broken.push("not a floor below this one");
            }
            let room = |path: &[String]| match path {
                [floor, room, ..] if floor == "server" => room.clone(),
                _ => String::new(),
            };
            let pair = (room(module), room(path));
            let strangers = [("rpc", "web"), ("web", "rpc")];
            if strangers.contains(&(pair.0.as_str(), pair.1.as_str())) {
                broken.push("rpc and web do not know each other");
            }
        }
    }
    broken
}
