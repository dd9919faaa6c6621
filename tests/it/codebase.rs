//! The rules for this codebase that a test can check: file sizes, names, the module map, migrations, where SQL is.

use std::{fs, path::PathBuf};

use hallpass::server::endpoints;
use sha2::{Digest, Sha256};
use syn::visit::Visit;

use crate::imports::{Source, sources, walk};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn all_files() -> Vec<PathBuf> {
    let mut files = vec![root().join("build.rs")];
    for folder in ["src", "tests"] {
        walk(&root().join(folder), &mut files);
    }
    files
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn no_file_has_more_than_400_lines() {
    for path in all_files() {
        let lines = lines(&fs::read_to_string(&path).unwrap());
        assert!(lines <= 400, "{} has {lines} lines", path.display());
    }
}

#[test]
fn no_file_has_a_vague_name() {
    for path in all_files() {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let vague = [
            "mod", "util", "utils", "helper", "helpers", "common", "manager",
        ];
        assert!(!vague.contains(&stem), "{}", path.display());
    }
}

#[test]
fn every_file_has_module_docs_and_no_todo() {
    for path in all_files() {
        let text = fs::read_to_string(&path).unwrap();
        let tests = path.ends_with("tests.rs");
        assert!(tests || text.starts_with("//!"), "{}", path.display());
        for word in [
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
            concat!("#[al", "low("),
        ] {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn every_file_is_declared_by_its_parent() {
    let sources = sources();
    for source in &sources {
        let Some((name, parent)) = source.module.split_last() else {
            continue;
        };
        if name == "main" {
            continue;
        }
        let parent = sources.iter().find(|other| other.module == parent);
        let parent = parent.unwrap_or_else(|| panic!("{} has no parent", source.path.display()));
        let declared = format!("mod {name};");
        assert!(parent.text.contains(&declared), "{}", source.path.display());
    }
}

#[test]
fn every_top_level_module_is_in_the_map_of_the_crate_docs() {
    let sources = sources();
    let lib = sources.iter().find(|source| source.module.is_empty());
    let lib = lib.unwrap();
    let map: String = lib
        .text
        .lines()
        .filter(|line| line.starts_with("//!"))
        .collect();
    for Source { module, .. } in &sources {
        let [first, ..] = &module[..] else { continue };
        let named = [format!("[`{first}`]"), format!("`{first}.rs`")];
        assert!(
            named.iter().any(|name| map.contains(name)),
            "{first} is not in the map of src/lib.rs"
        );
    }
}

/// A change of the schema is a new file.
#[test]
fn shipped_migrations_are_never_edited() {
    let shipped = [
        (
            "0001_first.sql",
            "328a8dce80876afb021d3aee7cfc386b8d16cac984317b936f640ae1037d2415",
        ),
        (
            "0002_verification.sql",
            "1358f6cf0323cf983b89c211a969727bbc0bc00523a932191a81f7a79551393a",
        ),
        (
            "0003_live_and_ended.sql",
            "acc99b5e228fd506e9cff106070c13f1d3e880d52f98ea9ff785a0ca39cbbc4f",
        ),
        (
            "0004_undo_rotation.sql",
            "0d4c18cea8bec7d7e5cd6a42cac1ff237a752ea362cf7083c2aa695ede2f1e1f",
        ),
        (
            "0005_known_networks.sql",
            "a7a7188ebe7f58de5dfede8c4c1489290bd56205fc3332d8db5677f97cd51fc9",
        ),
        (
            "0006_audit_rows.sql",
            "48f252db1b08448009b0284ecd9a6bb376a2b1823f5a67f0310738665c6e6412",
        ),
        (
            "0007_last_use_reporter.sql",
            "386603a80bd61d89f1c533b75d2d27029cefb6f39820e77be087a62f2a09c843",
        ),
        (
            "0008_disabled_by.sql",
            "dbb3d2198667d74deda0c7201a2daa10495f05181839cd1dcd5f6cc2eae45435",
        ),
        (
            "0009_audit_successors.sql",
            "3c9de63d5b8ee8adaf58650d153d35fdb06052baf0467b8d349a4afb5dc26774",
        ),
        (
            "0010_searches.sql",
            "fc9f28cf388ad866c693b7d7d78b52171ade2f3da206403b3cb9f8f993bafa4d",
        ),
        (
            "0011_expiring.sql",
            "907595b26146153ce9f0d0a74985fcb2a20953514de8c28d4c71f250ab6e4abb",
        ),
        (
            "0012_revoked_listed.sql",
            "bb79828f3e6bb161af5363412a80fd98c64fef6589a53252db64743a62ebe504",
        ),
    ];
    let folder = root().join("src/store/migrations");
    let list = fs::read_to_string(root().join("src/store/migrations.rs")).unwrap();
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        shipped.map(|(name, _)| name),
        "each migration is listed in this test"
    );
    for (name, expected) in shipped {
        let digest = Sha256::digest(fs::read(folder.join(name)).unwrap());
        let digest = bytes::Bytes::copy_from_slice(&digest);
        assert_eq!(format!("{digest:x}"), expected, "{name} was edited");
        assert!(
            list.contains(&format!("migrations/{name}")),
            "{name} is not in src/store/migrations.rs"
        );
    }
}

#[test]
fn sql_is_in_the_store_only() {
    let mut found_in_store = 0;
    for source in sources() {
        let mut statements = SqlCounter(0);
        statements.visit_file(&syn::parse_file(&source.text).unwrap());
        if source.module.first().is_some_and(|layer| layer == "store") {
            found_in_store += statements.0;
        } else {
            assert_eq!(statements.0, 0, "{}", source.path.display());
        }
    }
    assert!(
        found_in_store > 20,
        "only {found_in_store} statements were found"
    );
}

struct SqlCounter(usize);

impl Visit<'_> for SqlCounter {
    fn visit_lit_str(&mut self, literal: &syn::LitStr) {
        let verbs = [
            "SELECT ",
            "INSERT INTO ",
            "UPDATE ",
            "DELETE FROM ",
            "PRAGMA ",
        ];
        let text = literal.value();
        if verbs.iter().any(|verb| text.trim_start().starts_with(verb)) {
            self.0 += 1;
        }
    }
}

/// A path that is written twice gets changed in one place only. Comments, tests and longer paths that end like
/// it do not count.
#[test]
fn every_served_path_is_written_in_the_endpoint_list_only() {
    let mut found_in_list = 0;
    for source in sources() {
        let code = source.text.split("#[cfg(test)]").next().unwrap();
        let code = code.lines().filter(|line| !line.trim().starts_with("//"));
        let code: String = code.collect();
        let is_test = source
            .path
            .components()
            .any(|part| part.as_os_str() == "tests")
            || source.path.ends_with("tests.rs");
        let is_list = source.module == ["server", "endpoints"];
        for path in endpoints::all().map(|endpoint| endpoint.path) {
            let found = paths_in(&code, path);
            if is_list {
                assert_eq!(found, 1, "{path}");
                found_in_list += 1;
            } else if !is_test && path != "/" {
                assert_eq!(found, 0, "{path} is repeated in {}", source.path.display());
            }
        }
    }
    assert_eq!(found_in_list, endpoints::all().count());
}

/// How often `code` names `path` itself, not a longer path.
fn paths_in(code: &str, path: &str) -> usize {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let whole = code.match_indices(path).filter(|(at, _)| {
        let (before, after) = (&code[..*at], &code[at + path.len()..]);
        let ends = match path {
            "/" => after.starts_with('"'),
            _ => !after.starts_with(|c: char| of_a_name(c) && c != '/'),
        };
        ends && !before.ends_with(of_a_name)
    });
    whole.count()
}

#[test]
fn repeated_path_is_found_and_a_file_name_is_not() {
    let path = "/oauth2/revoke";
    for (code, count) in [
        ("route(\"/oauth2/revoke\")", 1),
        ("format!(\"{issuer}/oauth2/revoke\")", 1),
        ("\"GET /oauth2/revoke HTTP/1.1\" \"/oauth2/revoke/x\"", 2),
        ("include_str!(\"../oauth2/revoke\") \"/oauth2/revoked\"", 0),
    ] {
        assert_eq!(paths_in(code, path), count, "{code}");
    }
}

/// One file is no folder. Tests that would make their file too long may have one.
#[test]
fn no_folder_of_sources_has_only_one_file() {
    for source in sources() {
        let folder = source.path.parent().unwrap();
        let alone = fs::read_dir(folder).unwrap().count() == 1;
        let tests = source.path.ends_with("tests.rs");
        assert!(!alone || tests, "{} stands alone", source.path.display());
    }
}

/// Words that mean nothing in this field as a name.
const METAPHORS: [&str; 24] = [
    "asked", "behalf", "bell", "census", "crowd", "deaf", "denial", "floor", "house", "loan",
    "moment", "pace", "place", "pulse", "room", "roster", "seat", "served", "shown", "spot",
    "stakes", "standing", "turn", "world",
];

/// Type names so general that each may be used once at most.
const GENERAL: [&str; 8] = [
    "Changes", "Line", "Origin", "Outcome", "Place", "Queue", "Row", "Turn",
];

#[test]
fn no_type_module_or_constant_is_named_by_a_metaphor() {
    for path in all_files() {
        for name in declared(&fs::read_to_string(&path).unwrap()) {
            let metaphor = metaphor_in(&name);
            assert_eq!(metaphor, None, "{name} in {}", path.display());
        }
    }
}

#[test]
fn no_two_types_of_the_crate_have_the_same_general_name() {
    let names: Vec<_> = sources().iter().flat_map(|s| declared(&s.text)).collect();
    for general in GENERAL {
        let count = names.iter().filter(|name| *name == general).count();
        assert!(count <= 1, "{count} types are called {general}");
    }
}

#[test]
fn metaphor_in_a_name_is_found() {
    for (code, expected) in [
        ("struct HouseKeeper;", Some("house")),
        ("const MAX_ROOMS: u8 = 1;", Some("room")),
        ("mod a { mod at_a_place { } }", Some("place")),
        ("enum Placement {} type Roommate = u8;", None),
        ("fn house() { let room = 1; }", None),
    ] {
        let found = declared(code).iter().find_map(|name| metaphor_in(name));
        assert_eq!(found, expected, "{code}");
    }
}

/// The names of all types, modules and constants in `code`.
fn declared(code: &str) -> Vec<String> {
    let mut names = Names(Vec::new());
    names.visit_file(&syn::parse_file(code).unwrap());
    names.0
}

struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let name = match item {
            syn::Item::Struct(item) => Some(&item.ident),
            syn::Item::Enum(item) => Some(&item.ident),
            syn::Item::Trait(item) => Some(&item.ident),
            syn::Item::Type(item) => Some(&item.ident),
            syn::Item::Const(item) => Some(&item.ident),
            syn::Item::Static(item) => Some(&item.ident),
            syn::Item::Mod(item) => Some(&item.ident),
            _ => None,
        };
        self.0.extend(name.map(ToString::to_string));
        syn::visit::visit_item(self, item);
    }
}

/// The metaphor among the words of a name in CamelCase, `snake_case` or capitals, also in the plural.
fn metaphor_in(name: &str) -> Option<&'static str> {
    let mut words = String::new();
    let mut before = '_';
    for c in name.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            words.push('_');
        }
        words.extend(c.to_lowercase());
        before = c;
    }
    let is_in = |metaphor: &&str| {
        words
            .split('_')
            .any(|word| word.strip_suffix('s').unwrap_or(word) == metaphor.trim_end_matches('s'))
    };
    METAPHORS.into_iter().find(is_in)
}
