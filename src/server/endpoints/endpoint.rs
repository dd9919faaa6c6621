//! A line of the list: what is said of an endpoint, and the short ways of saying it.

use std::time::Duration;

use crate::{app::authz::Action, server::limits::Limits};

/// What all counts as that has no label of its own.
pub const OTHER: &str = "other";

/// How an endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of our procedures, in every protocol.
    Procedure,
    /// A bidirectional stream of gRPC's reflection service, which tonic answers.
    GrpcStream,
    /// A web route that answers only at exactly its path.
    Route,
    /// A web route that has all paths below its own, too, whether it answers there or not.
    Tree,
}

/// Which credentials an endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A bearer token.
    Token,
    /// A bearer token, which must be good where there is one. Without one, what anyone may know is told.
    OptionalToken,
    /// A bearer token, or a password in the message: the caller is authenticated after the message is read.
    TokenOrPassword,
    /// A token as bearer, as Basic's password or as `client_secret` in the form, as OAuth's clients send it.
    Client,
    /// The token in the body is the authority. A client's credentials need not be there, but if they are, they
    /// must be good.
    OptionalClient,
    /// The token that the request shows, which is verified, not authenticated: there is no further caller.
    Holder,
    /// The token that the message shows, likewise. A caller need not show a credential, but if it does, that must be
    /// good: by it the caller is believed in what it says of the holder.
    HolderInMessage,
    /// None: anyone may ask.
    Public,
}

impl Credentials {
    /// Whether all that is done is done with the token that the request itself shows.
    pub const fn is_holder(self) -> bool {
        matches!(
            self,
            Self::OptionalClient | Self::Holder | Self::HolderInMessage
        )
    }

    /// What RFC 8414 calls the ways of authentication; what is not for OAuth's clients has none.
    pub const fn oauth_methods(self) -> &'static [&'static str] {
        match self {
            Self::Client => &["client_secret_basic", "client_secret_post", "Bearer"],
            // Here a type of access token is no registered way (RFC 8414 §2), though it works.
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

/// A line of the list.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Where it is; a procedure's path is the canonical one, `/package.Service/Method`.
    pub path: &'static str,
    /// How it is asked.
    pub kind: Kind,
    /// What is done there; which of them, the message says. Empty where nothing is that needs a permission.
    pub actions: &'static [Action],
    /// Which credentials it takes.
    pub credentials: Credentials,
    /// Whether a page of another origin may call it, if its origin is listed. What is for services and proxies
    /// alone has no answer for a browser's preflight: behind a proxy, any answer of success would stand for a
    /// verified request.
    pub browsers: bool,
    /// What it counts as in the metrics.
    pub label: &'static str,
    /// Its bound of time, where it has one of its own.
    pub timeout: Option<fn(&Limits) -> Duration>,
    /// The bound of its message, in bytes, where it has one of its own.
    pub message_bytes: Option<fn(&Limits) -> usize>,
}

impl Endpoint {
    /// Whether a request for `path`, which is canonical, is for this endpoint.
    pub fn is_at(&self, path: &str) -> bool {
        match self.kind {
            Kind::Tree => is_below(path, self.path),
            _ => path == self.path,
        }
    }

    /// The time that it may take: its own bound, or that of all handlers.
    pub fn timeout(&self, limits: &Limits) -> Duration {
        self.timeout
            .map_or(limits.handler_timeout, |own| own(limits))
    }

    /// The largest message of a call, in bytes.
    pub fn max_message_bytes(&self, limits: &Limits) -> usize {
        self.message_bytes
            .map_or(limits.max_body_bytes, |own| own(limits))
    }

    /// A procedure's service, `package.Service`.
    pub fn service(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Procedure | Kind::GrpcStream => {
                let name = self.path.strip_prefix('/')?;
                name.split_once('/').map(|(service, _)| service)
            }
            Kind::Route | Kind::Tree => None,
        }
    }
}

/// Whether a path is `prefix` or lies below it.
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
    /// A stream of any length: what bounds it is that its client reads.
    pub(super) const fn as_endless_stream(self) -> Self {
        Self {
            timeout: Some(a_day),
            ..self
        }
    }
    /// Its message holds the head of another request, with whatever a browser sends: twice the head leaves room for
    /// what else is said of the request, and for how messages are written.
    pub(super) const fn with_request_head(self) -> Self {
        Self {
            message_bytes: Some(|limits| {
                let head = limits.max_forwarded_header_bytes.saturating_mul(2);
                limits.max_body_bytes.max(head)
            }),
            ..self
        }
    }

    /// Its message may be twice as large as others: a list of as many plaintexts as it takes.
    pub(super) const fn with_token_list(self) -> Self {
        Self {
            message_bytes: Some(|limits| limits.max_body_bytes.saturating_mul(2)),
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
