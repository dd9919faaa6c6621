//! Which layer may import which, checked over the syntax trees of all of `src/`.
//!
//! Code under `#[cfg(test)]` is exempt: it may set up what the layer above does.

mod circles;
mod rules;
mod source;

pub(crate) use self::source::{Source, sources, walk};
use self::{
    circles::circles,
    rules::violations,
    source::{Import, imports_of, sources_in},
};

#[test]
fn every_import_goes_down() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for source in sources() {
        for import in imports_of(&source.module, &source.text) {
            count += 1;
            for rule in violations(&source.module, &import) {
                wrong.push(format!("{}: {import}: {rule}", source.path.display()));
            }
        }
    }
    assert!(count > 500, "only {count} imports were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Two files that import each other are really one.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let crates = [
        ("src", "lib"),
        ("benches/load", "main"),
        ("tests/it", "main"),
    ];
    for (folder, root_file) in crates {
        let sources = sources_in(folder, root_file);
        assert!(sources.len() > 5, "{folder}: {}", sources.len());
        let circles = circles_of(&sources);
        assert!(circles.is_empty(), "{folder}: {}", circles.join("\n"));
    }
}

/// The control: the files of the benchmark, one of which imports one that imports it.
#[test]
fn circle_planted_in_a_benchmark_is_seen() {
    let mut sources = sources_in("benches/load", "main");
    let seed = sources.iter_mut().find(|source| source.module == ["seed"]);
    seed.unwrap().text += "use crate::scenarios::Scenario;";
    let circles = circles_of(&sources);
    assert_eq!(circles, ["scenarios -> seed -> scenarios"]);
}

fn circles_of(sources: &[Source]) -> Vec<String> {
    let files = sources.iter().map(|source| source.module.clone()).collect();
    let mut all = Vec::new();
    for Source { module, text, .. } in sources {
        let imports = imports_of(module, text).into_iter();
        all.extend(imports.filter_map(|import| match import {
            Import::Ours(path) => Some((module.clone(), path)),
            Import::Crate(_) => None,
        }));
    }
    circles(&files, &all)
}

#[test]
fn planted_circle_is_found() {
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
    let imports = [
        ("app::a::x", "app::b"),
        ("app::b::y", "app::c"),
        ("app::c", "app::a::z"),
    ];
    let imports = imports.map(|(from, to)| (path(from), path(to)));
    let files = ["app::a::x", "app::a::z", "app::b", "app::b::y", "app::c"];
    let files = files.map(path).into_iter().collect();
    let none: [String; 0] = [];
    assert_eq!(circles(&files, &imports), none, "x is not z");
    let imports = [&imports[..], &[(path("app::a::z"), path("app::a::x"))]].concat();
    let none_either = circles(&files, &imports);
    assert_eq!(none_either, none, "b is above y");
    let imports = [&imports[..], &[(path("app::b"), path("app::c::Thing"))]].concat();
    let expected = "app::a::x -> app::b -> app::c -> app::a::z -> app::a::x";
    assert_eq!(circles(&files, &imports), [expected]);
}

/// The control of `every_import_goes_down`.
#[test]
fn each_broken_import_rule_is_found() {
    let broken = [
        ("domain::token", "use crate::store::Tx;"),
        ("domain::token", "use crate::app;"),
        ("domain::id", "fn f() { let _ = tokio::spawn(async {}); }"),
        ("domain::id", "use {std::fmt, rusqlite::Connection};"),
        ("domain::id", "fn f(_: super::super::proto::X) {}"),
        ("store::tokens", "use crate::app::App;"),
        ("store::tokens", "use rusqlite::Row;"),
        ("store::db", "fn f() { r2d2::Pool::new() }"),
        ("store::sqlite::writer", "use crate::{domain::id, server};"),
        ("app::tokens", "use axum::Router;"),
        ("app::tokens", "use http::StatusCode;"),
        ("app::tokens", "use crate::proto::hallpass::v1::Token;"),
        ("app::tokens", "fn f() -> super::super::server::Server {}"),
        ("app::users", "use r2d2_sqlite::SqliteConnectionManager;"),
        (
            "app::users",
            "macro_rules! m { () => { crate::server::run() } }",
        ),
        ("server::rpc::token", "use crate::store::tokens;"),
        ("server::rpc::token", "use super::super::web::health;"),
        ("server::web::health", "use crate::server::rpc;"),
        ("server::web::health", "use crate::store;"),
        ("server::router", "use crate::config::Config;"),
        ("server", "use crate::cli::serve;"),
        ("server", "mod inner { use super::super::store::Db; }"),
    ];
    for (module, text) in broken {
        let module: Vec<_> = module.split("::").map(str::to_owned).collect();
        let imports = imports_of(&module, text);
        let seen = imports
            .iter()
            .any(|import| !violations(&module, import).is_empty());
        assert!(seen, "{module:?} {text}");
    }
    let fine = [
        (
            "store::sqlite::writer",
            "use rusqlite::Connection; use crate::domain::id;",
        ),
        (
            "app::tokens",
            "#[cfg(test)] mod tests { use http::StatusCode; }",
        ),
        (
            "server::rpc::token",
            "use super::super::auth; use crate::app::App;",
        ),
        (
            "cli::serve",
            "use crate::{config::Config, store::Db, app::App, server::Server};",
        ),
        ("domain::token", "use super::id::UserId;"),
    ];
    for (module, text) in fine {
        let module: Vec<_> = module.split("::").map(str::to_owned).collect();
        for import in imports_of(&module, text) {
            assert_eq!(violations(&module, &import), [""; 0], "{module:?} {import}");
        }
    }
}

impl std::fmt::Display for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ours(path) => write!(f, "crate::{}", path.join("::")),
            Self::Crate(name) => f.write_str(name),
        }
    }
}
