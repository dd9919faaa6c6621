//! Links within the repository resolve, to anchors too.

use std::path::{Component, Path, PathBuf};

use super::{Page, file, pages, root};

/// The text without code, in which nothing is a link.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code && !line.starts_with("```")
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let links = prose(text);
    let links = links.split("](").skip(1);
    links
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let text = prose(text);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// Resolves `..` in a path from the root.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                assert!(normal.pop(), "{} leaves the repository", path.display());
            }
            part => normal.push(part),
        }
    }
    normal
}

/// Why the link of a page leads nowhere, if it does not.
fn fault(page: &str, text: &str, link: &str) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => PathBuf::from(page),
        path => normal(&Path::new(page).parent()?.join(path)),
    };
    if !root().join(&target).exists() {
        return Some(format!("{page}: no file {}", target.display()));
    }
    let is_page = target
        .extension()
        .is_some_and(|extension| extension == "md");
    let anchors = match path {
        "" => anchors(text),
        _ if is_page && !anchor.is_empty() => anchors(&file(target.to_str()?)),
        _ => return None,
    };
    (!anchors.iter().any(|one| one == anchor)).then(|| format!("{page}: no anchor {link}"))
}

fn all_pages() -> impl Iterator<Item = Page> {
    let others = [
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "examples/web/README.md",
    ];
    let others = others.into_iter().map(|path| Page {
        path: path.to_owned(),
        text: file(path),
    });
    pages().into_iter().chain(others)
}

#[test]
fn links_resolve() {
    let mut count = 0;
    let mut faults = Vec::new();
    for Page { path, text } in all_pages() {
        for link in links(&text) {
            count += 1;
            faults.extend(fault(&path, &text, &link));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(count > 50, "{count}");
    // The control.
    let text = "# A title: of sorts\n";
    for (link, is_good) in [
        ("tokens.md#rotate-a-token", true),
        ("tokens.md#rotate", false),
        ("token.md", false),
        ("../README.md#quick-start", true),
        ("#a-title-of-sorts", true),
        ("#a-title", false),
    ] {
        assert_eq!(
            fault("docs/users.md", text, link).is_none(),
            is_good,
            "{link}"
        );
    }
}

#[test]
fn every_page_is_linked_from_the_readme() {
    let readme = links(&file("README.md"));
    for Page { path, .. } in pages().into_iter().skip(1) {
        let is_linked = readme
            .iter()
            .any(|link| link.split('#').next() == Some(&path));
        assert!(is_linked, "{path}");
    }
}
