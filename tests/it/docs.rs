//! The README and docs/ are true: their shell blocks run, their links resolve, their tables are those of the program, and
//! the tests that they name exist.

mod links;
mod promises;
mod session;
mod versions;

use std::{fmt::Write, fs, path::Path};

use hallpass::cli::{self, exit_code::ExitCode};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A page of the documentation: its path from the root, and its text.
struct Page {
    path: String,
    text: String,
}

/// The README first, then docs/ in order of names.
fn pages() -> Vec<Page> {
    let mut paths: Vec<_> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().display()))
        .collect();
    paths.sort();
    paths.insert(0, "README.md".to_owned());
    let pages = paths.into_iter().map(|path| Page {
        text: file(&path),
        path,
    });
    pages.collect()
}

/// The text between `<!-- NAME -->` and `<!-- /NAME -->` of a page.
fn part(page: &str, name: &str) -> String {
    let text = file(page);
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (_, rest) = text.split_once(&begin).expect("the part begins");
    let (part, _) = rest.split_once(&end).expect("the part ends");
    part.to_owned()
}

#[test]
fn readme_is_short() {
    let lines = file("README.md").lines().count();
    assert!(lines <= 250, "{lines} lines");
}

#[test]
fn settings_table_lists_what_clap_knows() {
    let command = cli::command();
    let serve = command.find_subcommand("serve").expect("there is `serve`");
    let mut table = String::from("| flag | variable | default | |\n|---|---|---|---|\n");
    let settings = serve.get_arguments().filter(|arg| arg.get_env().is_some());
    for arg in settings {
        let variable = arg.get_env().expect("filtered").to_string_lossy();
        let defaults = arg.get_default_values().iter();
        let defaults: Vec<_> = defaults
            .map(|value| format!("`{}`", value.display()))
            .collect();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let flag = match arg.get_long() {
            Some(long) => format!("`--{long}`"),
            None => String::new(),
        };
        writeln!(
            table,
            "| {flag} | `{variable}` | {} | {help} |",
            defaults.join(", ")
        )
        .unwrap();
    }
    let listed = part("docs/configuration.md", "settings");
    assert_eq!(listed, table, "\nthe table should be:\n{table}");
}

#[test]
fn exit_codes_table_lists_those_of_the_program() {
    let mut table = String::from("| code | meaning |\n|---|---|\n");
    for code in ExitCode::ALL {
        writeln!(table, "| {} | {} |", code.number(), code.meaning()).unwrap();
    }
    let listed = part("docs/configuration.md", "exit codes");
    assert_eq!(listed, table, "\nthe table should be:\n{table}");
}

/// For tokens created with curl, the test that runs the calls checks the same.
#[test]
fn every_token_created_in_a_page_or_an_example_expires() {
    let text: String = pages().into_iter().map(|page| page.text).collect();
    let commands = text.replace("\\\n", " ");
    let created = commands.split("token create ").skip(1);
    let created: Vec<_> = created
        .map(|rest| rest.split(['\n', '`', ')']).next().unwrap_or_default())
        .collect();
    assert!(created.len() > 5);
    for arguments in created {
        assert!(arguments.contains("--expires"), "token create {arguments}");
    }
    let web = file("examples/web/src/main.ts");
    let created: Vec<_> = web.split(".createToken(").skip(1).collect();
    assert_eq!(created.len(), 2);
    for request in created {
        let request = request.split(");").next().unwrap_or_default();
        assert!(request.contains("expireTime: "), "createToken({request}");
    }
}

/// `tests/clients/run` runs these files.
#[test]
fn snippets_are_the_files_that_run() {
    let text: String = pages().into_iter().map(|page| page.text).collect();
    let snippets: Vec<_> = text.split("<!-- snippet ").skip(1).collect();
    assert!(!snippets.is_empty());
    for snippet in snippets {
        let (path, rest) = snippet.split_once(" -->\n```").expect("a block follows");
        let (_, block) = rest.split_once('\n').expect("the block begins");
        let (block, _) = block.split_once("```\n").expect("the block ends");
        assert_eq!(block, file(path), "{path}");
    }
}
