//! The rules of the house that a machine can check: sizes, names, the map, migrations, where SQL stands.

use std::{fs, path::PathBuf};

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
fn no_file_has_more_than_400_lines_and_half_of_them_have_at_most_120() {
    for path in all_files() {
        let lines = lines(&fs::read_to_string(&path).unwrap());
        assert!(lines <= 400, "{} has {lines} lines", path.display());
    }
    let mut sizes: Vec<_> = sources().iter().map(|source| lines(&source.text)).collect();
    sizes.sort_unstable();
    let median = sizes[sizes.len() / 2];
    assert!(median <= 120, "the median file of src/ has {median} lines");
}

#[test]
fn no_file_is_named_for_everything() {
    for path in all_files() {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let vague = [
            "mod", "util", "utils", "helper", "helpers", "common", "manager",
        ];
        assert!(!vague.contains(&stem), "{}", path.display());
    }
}

#[test]
fn every_file_says_what_it_is_for_and_leaves_nothing_to_do() {
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
fn every_floor_and_every_room_of_the_server_is_on_the_map() {
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
            "{first} is not on the map"
        );
    }
}

/// A shipped migration is never edited: a change is a new file.
#[test]
fn migrations_are_what_they_were_when_they_were_shipped() {
    let shipped = [
        (
            "0001_first.sql",
            "328a8dce80876afb021d3aee7cfc386b8d16cac984317b936f640ae1037d2415",
        ),
        (
            "0002_verification.sql",
            "1358f6cf0323cf983b89c211a969727bbc0bc00523a932191a81f7a79551393a",
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
        "each has its line here"
    );
    for (name, expected) in shipped {
        let digest = Sha256::digest(fs::read(folder.join(name)).unwrap());
        let digest = bytes::Bytes::copy_from_slice(&digest);
        assert_eq!(format!("{digest:x}"), expected, "{name} was edited");
        assert!(
            list.contains(&format!("migrations/{name}")),
            "{name} is not run"
        );
    }
}

#[test]
fn sql_stands_in_the_store_alone() {
    let mut seen_in_store = 0;
    for source in sources() {
        let mut finder = Sql(0);
        finder.visit_file(&syn::parse_file(&source.text).unwrap());
        if source.module.first().is_some_and(|floor| floor == "store") {
            seen_in_store += finder.0;
        } else {
            assert_eq!(finder.0, 0, "{}", source.path.display());
        }
    }
    assert!(
        seen_in_store > 20,
        "only {seen_in_store} statements were seen"
    );
}

struct Sql(usize);

impl Visit<'_> for Sql {
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
