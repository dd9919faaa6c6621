//! The edge turns every call, whatever its protocol, into a POST of one plain protobuf message, passes it to the
//! router of typed handlers, and writes the reply in the caller's protocol.
//!
//! ```text
//! classify → encode → deadline → authenticate → read → call
//!     │         ↑ replies and errors, on their way back ─┘
//!     ├→ encode → reflection → tonic, for gRPC's reflection
//!     ├→ external_auth → forward-auth
//!     └→ web routes
//! ```
//!
//! Each step is a tower service in a file of its own; this file alone decides their order. Between `encode` and
//! `call` a service's error is `ConnectError`. All that the edge knows of Hallpass's services is the reason in its
//! own errors and the entry of each procedure in `server::endpoints`. It is generic over method table and router,
//! so that the conformance suite, whose procedures have no entries, runs against the same code.

mod body_drain;
mod call;
mod call_outcome;
mod classified;
mod classify;
mod deadline;
mod encode;
mod error;
mod external_auth;
mod frame;
mod gzip;
mod head;
mod http_error;
mod json;
mod method;
mod names;
mod query;
mod read;
mod reflection;
mod reply_metadata;
mod timeout;
mod unknown_fields;
mod web;
mod wire;

#[cfg(test)]
mod tests;

use std::{convert::Infallible, sync::Arc};

use axum::{Router, body::Body, response::Response};
use connectrpc_axum::ConnectError;
use http::Request;
use tower::{Layer, Service};

pub use self::{
    call::Handlers,
    call_outcome::CallOutcome,
    classified::Call,
    error::{DOMAIN, refusal, with_reason, with_violation},
    external_auth::ExternalAuth,
    method::{BadAlias, Method, MethodTable, Streaming},
    read::Read,
    reply_metadata::ReplyMetadata,
    wire::{Codec, Protocol, Wire},
};
use super::limits::Limits;

/// The parts of an edge.
#[derive(Clone, Debug)]
pub struct EdgeParts {
    /// The table of procedures.
    pub methods: Arc<MethodTable>,
    /// The generated routers, merged, without layers.
    pub router: Router,
    /// tonic's routes for gRPC's reflection.
    pub reflection: Router,
    /// The routes for all requests that are not calls.
    pub web: Router,
    /// Where a proxy asks about another request, if anywhere.
    pub external_auth: Option<ExternalAuth>,
    /// The limits.
    pub limits: Arc<Limits>,
    /// Whether errors carry a `google.rpc.ErrorInfo`. Off for the conformance suite, which compares details
    /// exactly.
    pub with_reasons: bool,
}

/// Assembles the edge into a service that answers every request. `auth` sees each call that `classify` has
/// accepted, with a [`Call`] in its extensions and its body unread. An error from it is encoded in the caller's
/// protocol.
pub fn assemble<L>(
    parts: EdgeParts,
    auth: &L,
) -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
+ use<L>
where
    L: Layer<Read<Handlers>>,
    L::Service: Service<Request<Body>, Response = Response, Error = ConnectError>
        + Clone
        + Send
        + Sync
        + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send,
{
    let EdgeParts {
        methods,
        router,
        reflection,
        web,
        external_auth,
        limits,
        with_reasons,
    } = parts;
    let call = Handlers::new(router);
    let read = Read {
        limits: Arc::clone(&limits),
        inner: call,
    };
    let authenticate = auth.layer(read);
    let deadline = deadline::Deadline(authenticate);
    let inner = encode::Encode {
        limits: Arc::clone(&limits),
        with_reasons,
        inner: deadline,
    };
    let reflection = encode::Encode {
        limits: Arc::clone(&limits),
        with_reasons,
        inner: reflection::Reflection {
            services: reflection,
            limits: Arc::clone(&limits),
        },
    };
    classify::Classify::new(classify::Routes {
        methods,
        web,
        external_auth,
        reflection,
        limits,
        inner,
    })
}
