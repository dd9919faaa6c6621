//! The table of procedures, built from the descriptors.
//!
//! It holds what the edge knows of a procedure: its path, whether GET is allowed, whether it streams, and its
//! messages. An alias maps to the same entry as the canonical path, so that nothing behind the table ever sees it.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use http::Uri;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use prost_types::method_options::IdempotencyLevel;

use crate::server::{
    endpoints::{self, Credentials, Endpoint},
    limits::Limits,
    unknown_name,
};

/// How many messages go in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// One in each direction.
    Unary,
    /// One request, any number of replies.
    Server,
    /// Any number of requests, which the edge rejects.
    Client,
}

/// A procedure.
#[derive(Clone, Debug)]
pub struct Method {
    path: Box<str>,
    uri: Uri,
    has_side_effects: bool,
    is_ours: bool,
    streaming: Streaming,
    input: MessageDescriptor,
    output: MessageDescriptor,
    endpoint: Option<&'static Endpoint>,
}

impl Method {
    fn new(method: &MethodDescriptor, endpoints: &'static [Endpoint]) -> Self {
        let streaming = match (method.is_client_streaming(), method.is_server_streaming()) {
            (true, _) => Streaming::Client,
            (false, true) => Streaming::Server,
            (false, false) => Streaming::Unary,
        };
        let proto = method.method_descriptor_proto();
        let safe = proto
            .options
            .as_ref()
            .is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects);
        let service = method.parent_service().full_name();
        let path = format!("/{service}/{}", method.name());
        Self {
            endpoint: endpoints.iter().find(|endpoint| endpoint.is_at(&path)),
            uri: Uri::try_from(&*path).expect("names of services and methods are paths"),
            path: path.into(),
            has_side_effects: !safe,
            is_ours: method.parent_service().package_name() == endpoints::PACKAGE,
            streaming,
            input: method.input(),
            output: method.output(),
        }
    }

    /// The canonical path: `/hallpass.v1.TokenService/GetToken`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same as a URI.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether it is defined by Hallpass rather than by another project.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Its entry in the list of endpoints. Procedures of the conformance suite have none.
    pub fn endpoint(&self) -> Option<&'static Endpoint> {
        self.endpoint
    }

    /// The credentials that it takes; a bearer token if it is not in the list of endpoints.
    pub(super) fn credentials(&self) -> Credentials {
        let endpoint = self.endpoint;
        endpoint.map_or(Credentials::Token, |endpoint| endpoint.credentials)
    }

    pub(super) fn timeout(&self, limits: &Limits) -> Duration {
        self.endpoint
            .map_or(limits.handler_timeout, |endpoint| endpoint.timeout(limits))
    }

    pub(super) fn max_message_bytes(&self, limits: &Limits) -> usize {
        let endpoint = self.endpoint;
        endpoint.map_or(limits.max_body_bytes, |endpoint| {
            endpoint.max_message_bytes(limits)
        })
    }

    /// Whether GET is allowed: it is unary and marked `NO_SIDE_EFFECTS`.
    pub fn allows_get(&self) -> bool {
        !self.has_side_effects && self.streaming == Streaming::Unary
    }

    /// How many messages go in each direction.
    pub fn streaming(&self) -> Streaming {
        self.streaming
    }

    /// The request message.
    pub fn input(&self) -> &MessageDescriptor {
        &self.input
    }

    /// The reply message.
    pub fn output(&self) -> &MessageDescriptor {
        &self.output
    }

    /// Whether it is not marked `NO_SIDE_EFFECTS`. Then unknown fields are rejected: they may be misspelt
    /// restrictions.
    pub fn has_side_effects(&self) -> bool {
        self.has_side_effects
    }
}

/// All procedures by path.
#[derive(Clone, Debug)]
pub struct MethodTable {
    methods: HashMap<Box<str>, Arc<Method>>,
}

/// An alias refers to an unknown service, or hides one.
#[derive(Debug)]
pub struct BadAlias(String);

impl fmt::Display for BadAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the alias of {} refers to an unknown service or hides one",
            self.0
        )
    }
}

impl std::error::Error for BadAlias {}

impl MethodTable {
    /// Builds the table of all services in `pool`. `endpoints` are the entries of its procedures, and `aliases` pairs
    /// of an alias and the full name of a service.
    pub fn new(
        pool: &DescriptorPool,
        endpoints: &'static [Endpoint],
        aliases: &[(&str, &str)],
    ) -> Result<Self, BadAlias> {
        let mut methods = HashMap::new();
        for method in pool
            .services()
            .flat_map(|s| s.methods().collect::<Vec<_>>())
        {
            let method = Arc::new(Method::new(&method, endpoints));
            methods.insert(Box::from(method.path()), method);
        }
        for (alias, name) in aliases {
            let bad = || BadAlias((*alias).to_owned());
            let service = pool.get_service_by_name(name).ok_or_else(bad)?;
            for method in service.methods() {
                let canonical = format!("/{name}/{}", method.name());
                let target = Arc::clone(methods.get(&*canonical).ok_or_else(bad)?);
                let path = format!("/{alias}/{}", method.name()).into_boxed_str();
                if methods.insert(path, target).is_some() {
                    return Err(bad());
                }
            }
        }
        Ok(Self { methods })
    }

    /// The procedure at this path, canonical or alias.
    pub fn get(&self, path: &str) -> Option<&Arc<Method>> {
        self.methods.get(path)
    }

    /// The path, here or in `others`, whose procedure name is closest to that of `path`.
    pub(super) fn find_closest<'a>(
        &'a self,
        path: &str,
        others: impl Iterator<Item = &'a str>,
    ) -> Option<&'a str> {
        let (service, name) = path.rsplit_once('/')?;
        let known = self.methods.keys().map(|path| &**path).chain(others);
        let similarity = |known: &str| {
            let (known_service, known_name) = known.rsplit_once('/')?;
            let of_name = unknown_name::similarity(name, known_name)?;
            // The same procedure name in another service is still a close match.
            let of_service = unknown_name::similarity(service, known_service).unwrap_or_default();
            Some(of_name + of_service)
        };
        let known = known.filter_map(|known| Some((similarity(known)?, known)));
        // Ties are broken by name, so that the answer is deterministic.
        let closest = known.max_by(|(a, one), (b, other)| a.total_cmp(b).then(other.cmp(one)));
        closest.map(|(_, known)| known)
    }

    /// The full names of the services, sorted, without duplicates.
    pub(super) fn services(&self) -> Vec<&str> {
        let paths = self.iter().map(|method| method.path());
        let services = paths.filter_map(|path| Some(path.strip_prefix('/')?.split_once('/')?.0));
        let services: BTreeSet<_> = services.collect();
        services.into_iter().collect()
    }

    /// All procedures, without aliases, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Method>> {
        self.methods
            .iter()
            .filter(|(path, method)| ***path == *method.path())
            .map(|(_, method)| method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> DescriptorPool {
        DescriptorPool::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap()
    }

    #[test]
    fn alias_maps_to_the_canonical_procedure() {
        let table = MethodTable::new(
            &pool(),
            endpoints::PROCEDURES,
            &[("TokenService", "hallpass.v1.TokenService")],
        )
        .unwrap();
        let method = table.get("/TokenService/GetToken").unwrap();
        assert_eq!(method.path(), "/hallpass.v1.TokenService/GetToken");
        assert!(method.allows_get());
        assert!(!table.get("/TokenService/CreateToken").unwrap().allows_get());
        assert!(table.get("/TokenService/Nope").is_none());
    }

    #[test]
    fn alias_of_an_unknown_service_or_hiding_one_is_rejected() {
        assert!(
            MethodTable::new(&pool(), endpoints::PROCEDURES, &[("X", "hallpass.v1.Nope")]).is_err()
        );
        let hiding = [("hallpass.v1.UserService", "hallpass.v1.UserService")];
        assert!(MethodTable::new(&pool(), endpoints::PROCEDURES, &hiding).is_err());
    }

    #[test]
    fn each_procedure_is_listed_once() {
        let aliases = [("TokenService", "hallpass.v1.TokenService")];
        let plain = MethodTable::new(&pool(), endpoints::PROCEDURES, &[])
            .unwrap()
            .iter()
            .count();
        assert_eq!(
            MethodTable::new(&pool(), endpoints::PROCEDURES, &aliases)
                .unwrap()
                .iter()
                .count(),
            plain
        );
    }

    #[test]
    fn closest_procedure_is_found_by_its_name_then_by_its_service() {
        let aliases = [("TokenService", "hallpass.v1.TokenService")];
        let table = MethodTable::new(&pool(), endpoints::PROCEDURES, &aliases).unwrap();
        let health = "/grpc.health.v1.Health/Check";
        for (path, expected) in [
            (
                "/hallpass.v1.TokenService/GetTokn",
                Some("/hallpass.v1.TokenService/GetToken"),
            ),
            ("/TokenService/getToken", Some("/TokenService/GetToken")),
            (
                "/hallpass.v1.Token/CreateToken",
                Some("/hallpass.v1.TokenService/CreateToken"),
            ),
            (
                "/hallpass.v1.TokenService/CreateUser",
                Some("/hallpass.v1.UserService/CreateUser"),
            ),
            ("/grpc.health.v2.Health/Check", Some(health)),
            ("/a.B/Xyzzy", None),
        ] {
            let found = table.find_closest(path, [health].into_iter());
            assert_eq!(found, expected, "{path}");
        }
        assert!(table.services().contains(&"hallpass.v1.TokenService"));
        assert!(!table.services().contains(&"TokenService"));
    }
}
