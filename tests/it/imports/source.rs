//! All of `src/`, and what each file imports: by `use`, by a path in code, or inside a macro.

use std::{
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Item, ItemMod, ItemUse, Macro, UseTree,
    visit::{self, Visit},
};

pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Its module path; empty for the root, `main` for the `main.rs` beside a `lib.rs`.
    pub(crate) module: Vec<String>,
    pub(crate) text: String,
}

#[derive(Debug, PartialEq)]
pub(super) enum Import {
    /// A path below the root of our crate.
    Ours(Vec<String>),
    /// Another crate.
    Crate(String),
}

/// All files of `src/` but those of tests.
pub(crate) fn sources() -> Vec<Source> {
    sources_in("src", "lib")
}

/// All files of the crate in `folder` but those of tests. The file `root` is its root.
pub(super) fn sources_in(folder: &str, root_file: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    walk(&root, &mut files);
    let sources = files.into_iter().map(|path| {
        let relative = path.strip_prefix(&root).unwrap().with_extension("");
        let module: Vec<_> = relative
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .filter(|part| part != root_file)
            .collect();
        let text = fs::read_to_string(&path).unwrap();
        Source { path, module, text }
    });
    let sources: Vec<_> = sources.collect();
    let of_tests: Vec<_> = sources.iter().flat_map(test_modules).collect();
    let is_of_tests = |source: &Source| {
        let module = &source.module;
        of_tests.iter().any(|tests| module.starts_with(tests))
    };
    sources.into_iter().filter(|s| !is_of_tests(s)).collect()
}

/// The modules that a file declares for tests alone.
fn test_modules(source: &Source) -> Vec<Vec<String>> {
    let items = syn::parse_file(&source.text).unwrap().items;
    let modules = items.into_iter().filter_map(|item| match item {
        Item::Mod(module) if is_test(&module.attrs) => Some(module.ident.to_string()),
        _ => None,
    });
    modules
        .map(|name| [&source.module[..], &[name]].concat())
        .collect()
}

/// All Rust files below `folder`, in order.
pub(crate) fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

pub(super) fn imports_of(module: &[String], text: &str) -> Vec<Import> {
    let mut finder = Finder {
        module: module.to_vec(),
        imports: Vec::new(),
    };
    finder.visit_file(&syn::parse_file(text).unwrap());
    finder.imports
}

struct Finder {
    module: Vec<String>,
    imports: Vec<Import>,
}

impl Finder {
    fn add(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let absolute = match first.as_str() {
            "crate" => rest.to_vec(),
            "hallpass" if self.module == ["main"] => rest.to_vec(),
            "self" => [&self.module, rest].concat(),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let kept = self.module.len().saturating_sub(ups);
                [&self.module[..kept], &path[ups..]].concat()
            }
            _ => {
                self.imports.push(Import::Crate(first.clone()));
                return;
            }
        };
        if !absolute.is_empty() {
            self.imports.push(Import::Ours(absolute));
        }
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(path.ident.to_string()), &path.tree),
            UseTree::Name(name) => self.add(&with(name.ident.to_string())),
            UseTree::Rename(name) => self.add(&with(name.ident.to_string())),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(before, tree);
                }
            }
        }
    }

    /// Paths inside a macro, whose grammar is its own: every run of `a :: b`.
    fn add_tokens(&mut self, text: &str) {
        let mut path: Vec<String> = Vec::new();
        let mut after_colons = false;
        for word in text.replace("::", " :: ").split_whitespace() {
            let name: String = word
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if word == "::" {
                after_colons = true;
                continue;
            }
            if !after_colons {
                self.add_long(&std::mem::take(&mut path));
            }
            after_colons = false;
            if name.is_empty() {
                self.add_long(&std::mem::take(&mut path));
            } else {
                path.push(name);
            }
        }
        self.add_long(&path);
    }

    /// Adds a path of two names or more; a single name is a local one.
    fn add_long(&mut self, path: &[String]) {
        if path.len() > 1 {
            self.add(path);
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    let cfg = attributes.iter().filter(|a| a.path().is_ident("cfg"));
    cfg.filter_map(|a| a.parse_args::<syn::Path>().ok())
        .any(|path| path.is_ident("test"))
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.add_long(&parts);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.add_tokens(&item.tokens.to_string());
        visit::visit_macro(self, item);
    }
}
