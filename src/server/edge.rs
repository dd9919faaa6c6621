//! The edge: it makes every call, whatever its protocol, into a POST of one plain protobuf message, hands
//! it to the one router of typed handlers, and writes the reply as the caller's protocol has it.
//!
//! ```text
//! classify → encode → deadline → authenticate → read → call
//!     │         ↑ replies and errors, on their way back ─┘
//!     ├→ encode → own → tonic, for gRPC's health and reflection
//!     ├→ on_behalf → who answers proxies
//!     └→ web routes
//! ```
//!
//! Each step is a tower service in a file of its own; their order is here alone. Between `encode` and
//! `call` a service's error is `ConnectError`. The edge knows nothing of Hallpass's services but the reason
//! in its own errors and the line of each procedure in `server::endpoints`: it is generic over method table and
//! router, so that the conformance suite, whose procedures have no lines, runs against the very same code.

mod asked;
mod call;
mod classify;
mod deadline;
mod encode;
mod error;
mod frame;
mod gzip;
mod head;
mod json;
mod loan;
mod method;
mod names;
mod on_behalf;
mod outcome;
mod own;
mod plain;
mod query;
mod read;
mod reply;
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
    asked::Call,
    call::Handlers,
    error::{DOMAIN, refusal, with_reason, with_violation},
    method::{BadAlias, Method, MethodTable, Streaming},
    on_behalf::OnBehalf,
    outcome::Outcome,
    read::Read,
    reply::Reply,
    wire::{Codec, Protocol, Wire},
};
use super::limits::Limits;

/// What an edge is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The procedures.
    pub methods: Arc<MethodTable>,
    /// The generated routers, merged, without layers.
    pub router: Router,
    /// tonic's routes for gRPC's health and reflection.
    pub grpc: Router,
    /// The routes for all requests that are no calls.
    pub web: Router,
    /// Where a proxy asks on behalf of another request, if anywhere.
    pub on_behalf: Option<OnBehalf>,
    /// The bounds.
    pub limits: Arc<Limits>,
    /// Whether errors carry our `google.rpc.ErrorInfo`. Only the conformance suite, which compares
    /// details exactly, says no.
    pub with_reasons: bool,
}

/// Puts the steps together: a service that answers every request. `auth` sees each call that `classify` let
/// pass, with a [`Call`] in its extensions and its body unread; what it refuses, the caller gets as an error of
/// its protocol.
pub fn assemble<L>(
    parts: Parts,
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
    let Parts {
        methods,
        router,
        grpc,
        web,
        on_behalf,
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
    let own = encode::Encode {
        limits: Arc::clone(&limits),
        with_reasons,
        inner: own::Own {
            services: grpc,
            limits: Arc::clone(&limits),
        },
    };
    classify::Classify::new(classify::Ways {
        methods,
        web,
        on_behalf,
        own,
        limits,
        inner,
    })
}
