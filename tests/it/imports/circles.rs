//! Circles of imports between files.

use std::collections::{BTreeMap, BTreeSet};

type Path = Vec<String>;

/// Describes each circle of imports between `files`, one line each: the shortest path from its first file back to it.
pub(super) fn circles(files: &BTreeSet<Path>, imports: &[(Path, Path)]) -> Vec<String> {
    let mut uses: BTreeMap<Path, BTreeSet<Path>> = BTreeMap::new();
    for (from, to) in imports {
        // The file that holds the imported item.
        let to = (1..=to.len()).rev().map(|len| to[..len].to_vec());
        let Some(to) = to.into_iter().find(|path| files.contains(path)) else {
            continue;
        };
        // A module and its submodules may import each other.
        if !from.starts_with(&to) && !to.starts_with(from) {
            uses.entry(from.clone()).or_default().insert(to);
        }
    }
    let mut found = BTreeMap::new();
    for start in uses.keys() {
        if let Some(way) = way_back(start, &uses) {
            let members: BTreeSet<_> = way.iter().cloned().collect();
            found.entry(members).or_insert(way);
        }
    }
    let line = |way: Vec<Path>| {
        let names: Vec<_> = way.iter().map(|path| path.join("::")).collect();
        format!("{} -> {}", names.join(" -> "), names[0])
    };
    found.into_values().map(line).collect()
}

fn way_back(start: &Path, uses: &BTreeMap<Path, BTreeSet<Path>>) -> Option<Vec<Path>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in uses.get(way.last()?).into_iter().flatten() {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push([&way[..], std::slice::from_ref(next)].concat());
                }
            }
        }
        ways = longer;
    }
    None
}
