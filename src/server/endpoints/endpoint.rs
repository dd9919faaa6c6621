//! An entry of the list of endpoints, with short constructors.

use std::time::Duration;

use crate::{app::authz::Action, server::limits::Limits};

/// Metric label of everything without a label of its own.
pub const OTHER: &str = "other";

/// What sort of endpoint it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of our procedures, available in every protocol.
    Procedure,
    /// A bidirectional stream of gRPC's reflection service, served by tonic.
    GrpcStream,
    /// Forward-auth, which owns all paths below its own, too.
    ForwardAuth,
    /// OAuth's token introspection.
    Introspection,
    /// OAuth's token revocation.
    Revocation,
    /// Another web route with exactly this path.
    Route,
    /// A web route that also owns all paths below its own, whether they exist or not.
    Tree,
}

/// Which credentials an endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A bearer token.
    Token,
    /// A bearer token, which must be valid if there is one. Without one, only public information is returned.
    OptionalToken,
    /// A bearer token, or a password in the message; authenticated after the message has been read.
    TokenOrPassword,
    /// A token as OAuth clients send it: as bearer, as Basic's password, or as `client_secret` in the form.
    Client,
    /// The token in the body authorises the request. Client credentials are optional, but must be valid if present.
    OptionalClient,
    /// The request's token is verified but does not authenticate a caller.
    Holder,
    /// The same for a token in the message. The caller's own credential is optional, but must be valid if present:
    /// it decides whether the caller is trusted about where the holder's request comes from.
    HolderInMessage,
    /// None.
    Public,
}

impl Credentials {
    /// Whether the request's own token is all that authorises it.
    pub const fn is_holder(self) -> bool {
        matches!(
            self,
            Self::OptionalClient | Self::Holder | Self::HolderInMessage
        )
    }

    /// The authentication methods as RFC 8414 names them; empty if the endpoint is not for OAuth clients.
    pub const fn oauth_methods(self) -> &'static [&'static str] {
        match self {
            Self::Client => &["client_secret_basic", "client_secret_post", "Bearer"],
            // A bearer token works too, but access token types are not registered as methods here (RFC 8414 §2).
            Self::OptionalClient => &["client_secret_basic", "client_secret_post", "none"],
            Self::Token
            | Self::OptionalToken
            | Self::TokenOrPassword
            | Self::Holder
            | Self::HolderInMessage
            | Self::Public => &[],
        }
    }
}

/// An entry of the list of endpoints.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Its path, for a procedure the canonical `/package.Service/Method`.
    pub path: &'static str,
    /// What sort of endpoint it is.
    pub kind: Kind,
    /// The actions it can perform; the message decides which. Empty if it needs no permission.
    pub actions: &'static [Action],
    /// Which credentials it takes.
    pub credentials: Credentials,
    /// Whether pages of allowed origins may call it. Endpoints that are only for services and proxies do not answer
    /// preflights: a proxy would take any successful response for a verified request.
    pub browsers: bool,
    /// Its metric label.
    pub label: &'static str,
    /// A health probe or a token check: there are many, and they are only logged at level info when they fail.
    pub is_routine: bool,
    /// Its own timeout, if it has one.
    pub timeout: Option<fn(&Limits) -> Duration>,
    /// Its own maximum message size in bytes, if it has one.
    pub message_bytes: Option<fn(&Limits) -> usize>,
}

impl Endpoint {
    /// Whether a request for `path`, which is canonical, is for this endpoint.
    pub fn is_at(&self, path: &str) -> bool {
        match self.kind {
            Kind::Tree | Kind::ForwardAuth => is_below(path, self.path),
            _ => path == self.path,
        }
    }

    /// Its timeout, or that of all handlers.
    pub fn timeout(&self, limits: &Limits) -> Duration {
        self.timeout
            .map_or(limits.handler_timeout, |own| own(limits))
    }

    /// The maximum size of its message, in bytes.
    pub fn max_message_bytes(&self, limits: &Limits) -> usize {
        self.message_bytes
            .map_or(limits.max_body_bytes, |own| own(limits))
    }

    /// The service of a procedure, `package.Service`.
    pub fn service(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Procedure | Kind::GrpcStream => {
                let name = self.path.strip_prefix('/')?;
                name.split_once('/').map(|(service, _)| service)
            }
            _ => None,
        }
    }
}

/// Whether a path is `prefix` or below it.
pub fn is_below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

const fn endpoint(path: &'static str, kind: Kind) -> Endpoint {
    Endpoint {
        path,
        kind,
        actions: &[],
        credentials: Credentials::Public,
        browsers: true,
        label: path,
        is_routine: false,
        timeout: None,
        message_bytes: None,
    }
}

pub(super) const fn procedure(path: &'static str, actions: &'static [Action]) -> Endpoint {
    Endpoint {
        actions,
        label: without_slash(path),
        ..endpoint(path, Kind::Procedure)
    }
    .takes(Credentials::Token)
}

pub(super) const fn grpc_procedure(path: &'static str) -> Endpoint {
    Endpoint {
        label: without_slash(path),
        ..endpoint(path, Kind::GrpcStream)
    }
}

pub(super) const fn route(path: &'static str) -> Endpoint {
    endpoint(path, Kind::Route)
}

pub(super) const fn file(path: &'static str) -> Endpoint {
    Endpoint {
        label: OTHER,
        ..route(path)
    }
}

const fn a_day(_: &Limits) -> Duration {
    Duration::from_hours(24)
}

const fn without_slash(path: &'static str) -> &'static str {
    path.split_at(1).1
}

impl Endpoint {
    pub(super) const fn takes(self, credentials: Credentials) -> Self {
        Self {
            credentials,
            ..self
        }
    }
    pub(super) const fn does(self, actions: &'static [Action]) -> Self {
        Self { actions, ..self }
    }
    /// A stream without a maximum duration: it lasts as long as the client keeps reading.
    pub(super) const fn as_endless_stream(self) -> Self {
        Self {
            timeout: Some(a_day),
            ..self
        }
    }
    /// Its message contains the header of another request, with whatever a browser sends: twice the header limit
    /// leaves enough for other fields and for the encoding.
    pub(super) const fn with_request_head(self) -> Self {
        Self {
            message_bytes: Some(|limits| {
                let head = limits.max_forwarded_header_bytes.saturating_mul(2);
                limits.max_body_bytes.max(head)
            }),
            ..self
        }
    }

    /// Its message is a list of plaintexts, so it may be twice as large as others.
    pub(super) const fn with_token_list(self) -> Self {
        Self {
            message_bytes: Some(|limits| limits.max_body_bytes.saturating_mul(2)),
            ..self
        }
    }
    pub(super) const fn as_routine(self) -> Self {
        Self {
            is_routine: true,
            ..self
        }
    }
    pub(super) const fn machines_only(self) -> Self {
        Self {
            browsers: false,
            ..self
        }
    }
}
