use std::collections::BTreeSet;

use prost_reflect::DescriptorPool;

use crate::{
    app::authz::RULES,
    proto,
    server::{
        edge::{MethodTable, Streaming},
        web::static_files,
    },
};

use super::*;

fn procedures(descriptors: &[u8]) -> Vec<(String, bool)> {
    let pool = DescriptorPool::decode(descriptors).unwrap();
    let table = MethodTable::new(&pool, PROCEDURES, &[]).unwrap();
    let methods = table.iter().map(|method| {
        (
            method.path().to_string(),
            method.streaming() == Streaming::Unary,
        )
    });
    methods.collect()
}

#[test]
fn every_procedure_of_the_descriptors_is_listed_once() {
    let served = procedures(proto::FILE_DESCRIPTOR_SET);
    let mut served: Vec<_> = served.into_iter().map(|(path, _)| path).collect();
    served.sort_unstable();
    let mut listed: Vec<_> = PROCEDURES.iter().map(|line| line.path).collect();
    listed.sort_unstable();
    assert_eq!(served, listed);
}

#[test]
fn every_procedure_of_grpcs_own_services_is_listed_once() {
    let mut served: Vec<_> = [
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ]
    .into_iter()
    .flat_map(procedures)
    .collect();
    served.sort();
    let listed = GRPC.iter().map(|line| (line.path.to_owned(), false));
    let mut listed: Vec<_> = listed.collect();
    listed.sort_unstable();
    assert_eq!(served, listed);
}

#[test]
fn every_path_is_listed_once() {
    let paths: BTreeSet<_> = all().map(|line| line.path).collect();
    assert_eq!(paths.len(), all().count());
}

#[test]
fn every_entry_has_its_kind_and_every_file_an_entry() {
    let is = |kinds: &[Kind], lines: &[Endpoint]| lines.iter().all(|l| kinds.contains(&l.kind));
    assert!(is(&[Kind::Procedure], PROCEDURES));
    assert!(is(&[Kind::GrpcStream], GRPC));
    assert!(
        WEB.iter()
            .all(|line| ![Kind::Procedure, Kind::GrpcStream].contains(&line.kind))
    );
    for path in static_files::paths() {
        assert!(WEB.iter().any(|line| line.path == path), "{path}");
    }
}

#[test]
fn every_action_has_a_rule_and_an_endpoint_and_needs_a_caller() {
    let ruled: Vec<_> = RULES.iter().map(|rule| rule.action).collect();
    let used: Vec<_> = all().flat_map(|line| line.actions).copied().collect();
    for action in &ruled {
        assert!(used.contains(action), "{action:?}");
    }
    for action in &used {
        assert!(ruled.contains(action), "{action:?} has no rule");
    }
    for line in all() {
        let by_a_caller = match line.credentials {
            Credentials::Token
            | Credentials::OptionalToken
            | Credentials::TokenOrPassword
            | Credentials::Client => true,
            Credentials::OptionalClient
            | Credentials::Holder
            | Credentials::HolderInMessage
            | Credentials::Public => false,
        };
        assert_eq!(by_a_caller, !line.actions.is_empty(), "{}", line.path);
    }
}

#[test]
fn only_grpcs_own_procedures_are_public() {
    let takes_none = |line: &&Endpoint| line.credentials == Credentials::Public;
    let public = PROCEDURES.iter().filter(takes_none).map(Endpoint::service);
    assert!(public.eq([Some("grpc.health.v1.Health"); 3]));
}

#[test]
fn endpoints_for_machines_are_closed_to_pages() {
    for line in all() {
        assert_eq!(is_for_browsers(line.path), line.browsers, "{}", line.path);
    }
    for path in [
        "/forward-auth/a",
        "/oauth2",
        "/oauth2/introspect/a",
        "/oauth2/nope",
    ] {
        assert!(!is_for_browsers(path), "{path}");
    }
    for path in ["/forward-authority", "/TokenService/GetToken", "/nope"] {
        assert!(is_for_browsers(path), "{path}");
    }
}

#[test]
fn paths_map_to_a_fixed_set_of_labels() {
    for (path, expected) in [
        ("/", "/"),
        ("/healthz", "/healthz"),
        ("/forward-auth", "/forward-auth"),
        ("/forward-auth/any/path", "/forward-auth"),
        ("/forward-authentic", OTHER),
        ("/docs", "/docs"),
        ("/proto/hallpass/v1/token.proto", "/proto"),
        ("/proto/any/other", "/proto"),
        ("/prototype", OTHER),
        ("/app.css", OTHER),
        ("/metrics", OTHER),
        ("/healthz/", OTHER),
        ("/wp-login.php", OTHER),
        ("", OTHER),
    ] {
        assert_eq!(
            find_web(path).map_or(OTHER, |e| e.label),
            expected,
            "{path}"
        );
    }
}
