//! Which layer may import which other, and which crates.

use super::Import;

const DRIVERS: [&str; 5] = [
    "rusqlite",
    "r2d2",
    "r2d2_sqlite",
    "postgres",
    "tokio_postgres",
];

const LAYERS: [&str; 9] = [
    "domain", "metrics", "store", "app", "server", "cli", "config", "proto", "main",
];

/// The layers that a layer may import besides itself.
fn may_import(layer: &str) -> &'static [&'static str] {
    match layer {
        "store" => &["domain", "metrics"],
        "app" => &["domain", "metrics", "store"],
        "server" => &["domain", "metrics", "app", "proto"],
        // config and cli connect the layers.
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
    let in_a_driver = module.len() > 1
        && module[0] == "store"
        && ["sqlite", "postgres"].contains(&module[1].as_str());
    if !in_a_driver {
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
                broken.push("this layer must not use that crate");
            }
        }
        Import::Ours(path) => {
            let (own, target) = (module[0].as_str(), path[0].as_str());
            assert!(LAYERS.contains(&own), "{own} belongs to no layer");
            let is_layer = LAYERS.contains(&target);
            if is_layer && own != target && !may_import(own).contains(&target) {
                broken.push("that layer is not below this one");
            }
            let part_of_server = |path: &[String]| match path {
                [layer, part, ..] if layer == "server" => part.clone(),
                _ => String::new(),
            };
            let pair = (part_of_server(module), part_of_server(path));
            let separate = [("rpc", "web"), ("web", "rpc")];
            if separate.contains(&(pair.0.as_str(), pair.1.as_str())) {
                broken.push("rpc and web must not import each other");
            }
        }
    }
    broken
}
