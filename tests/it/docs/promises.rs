//! What docs/security.md says is tested is tested, and the glossary has each word once.

use std::collections::BTreeSet;

use super::{file, root};

/// Whether there is a test of this name in tests/it, such as `revocation::one_second_cache_is_detected`.
fn exists(name: &str) -> bool {
    let Some((module, function)) = name.rsplit_once("::") else {
        return false;
    };
    let path = root().join(format!("tests/it/{}.rs", module.replace("::", "/")));
    let source = std::fs::read_to_string(path).unwrap_or_default();
    let Some((before, _)) = source.split_once(&format!("fn {function}()")) else {
        return false;
    };
    // Its attributes end where the item before it does.
    let attributes = before.rsplit("\n\n").next().unwrap_or_default();
    attributes.contains("test]") || attributes.contains("test(")
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let page = file("docs/security.md");
    let named = page.lines().filter(|line| line.starts_with('|'));
    let named: Vec<_> = named
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|code| code.contains("::"))
        .collect();
    assert!(named.len() > 40, "{}", named.len());
    for name in named {
        assert!(exists(name), "{name}");
    }
    // The control.
    assert!(!exists("revocation::no_such_test"));
    assert!(!exists("docs::file"));
}

#[test]
fn glossary_has_each_word_once_and_in_order() {
    let page = file("docs/glossary.md");
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    let words: Vec<_> = rows.filter_map(|row| row[2..].split(" |").next()).collect();
    assert!(words.len() > 40);
    let distinct: BTreeSet<_> = words.iter().copied().collect();
    assert_eq!(words, distinct.into_iter().collect::<Vec<_>>());
}
