//! The list of everything that is served: each procedure, probe, page and OAuth endpoint with its actions, the
//! credentials it takes, whether pages may call it, and its metric label.
//!
//! Router, CORS, authentication, metrics, OAuth metadata and reflection read it, and no path is written anywhere
//! else; a test checks that every procedure of the descriptors is listed once. Who may perform an action is decided
//! in `app::authz`, which knows no paths. To add a procedure, add an entry to [`PROCEDURES`].

mod endpoint;

use std::{sync::LazyLock, time::Duration};

use crate::app::authz::Action as A;

use super::limits::Limits;
use endpoint::{file, grpc_procedure, procedure, route};

pub use endpoint::{Credentials, Endpoint, Kind, OTHER, is_below};

use Credentials as C;

/// The protobuf package of our own services.
pub const PACKAGE: &str = "hallpass.v1";

/// Other names under which clients call our services, each with the actual name.
pub const ALIASES: &[(&str, &str)] = &[
    // The contract has no package name.
    ("TokenService", "hallpass.v1.TokenService"),
    (
        "buf.alpha.registry.v1alpha1.TokenService",
        "hallpass.v1.TokenService",
    ),
    (
        "buf.alpha.registry.v1alpha1.AuthnService",
        "hallpass.v1.AuthnService",
    ),
    (
        "buf.alpha.registry.v1alpha1.UserService",
        "hallpass.v1.UserService",
    ),
    (
        "bufman.alpha.registry.v1alpha1.TokenService",
        "hallpass.v1.TokenService",
    ),
    (
        "bufman.alpha.registry.v1alpha1.AuthnService",
        "hallpass.v1.AuthnService",
    ),
    (
        "bufman.alpha.registry.v1alpha1.UserService",
        "hallpass.v1.UserService",
    ),
];

/// The procedures. By default they take a bearer token, and pages may call them.
#[rustfmt::skip]
pub static PROCEDURES: &[Endpoint] = &[
    CREATE_TOKEN,
    GET_TOKEN,
    procedure("/hallpass.v1.TokenService/ListTokens", &[A::ListTokens]),
    procedure("/hallpass.v1.TokenService/DeleteToken", &[A::DeleteToken]),
    procedure("/hallpass.v1.TokenService/LookUpToken", &[A::GetToken]),
    VERIFY_TOKEN,
    procedure("/hallpass.v1.TokenService/RotateToken", &[A::RotateToken]),
    procedure("/hallpass.v1.TokenService/UndoRotation", &[A::RotateToken]),
    procedure("/hallpass.v1.TokenService/UpdateToken", &[A::UpdateToken]),
    procedure("/hallpass.v1.TokenService/ExplainToken", &[A::ExplainToken]),
    procedure("/hallpass.v1.UserService/CreateUser", &[A::CreatePerson, A::CreateMachine]),
    procedure("/hallpass.v1.UserService/GetUser", &[A::GetUser]),
    procedure("/hallpass.v1.UserService/GetUserByUsername", &[A::GetUser]),
    procedure("/hallpass.v1.UserService/LookUpUser", &[A::GetUser]),
    procedure("/hallpass.v1.UserService/ListUsers", &[A::ListUsers]),
    procedure("/hallpass.v1.UserService/CountUsers", &[A::ListUsers]),
    procedure("/hallpass.v1.UserService/UpdateUserServerRole", &[A::SetRole]),
    procedure("/hallpass.v1.UserService/UpdateUserSettings", &[A::DescribeUser]),
    procedure("/hallpass.v1.UserService/SetPassword", &[A::SetPassword]),
    procedure("/hallpass.v1.UserService/SetOwner", &[A::SetOwner]),
    procedure("/hallpass.v1.UserService/DeactivateUser", &[A::DeactivateUser]),
    procedure("/hallpass.v1.UserService/ReactivateUser", &[A::ReactivateUser]),
    procedure("/hallpass.v1.UserService/DeleteUser", &[A::DeleteUser]),
    procedure("/hallpass.v1.AuthnService/GetCurrentUser", &[A::GetCurrentUser]),
    procedure("/buf.registry.owner.v1.UserService/GetCurrentUser", &[A::GetCurrentUser]),
    procedure("/hallpass.v1.AuditService/ListAuditEvents", &[A::ReadAudit]),
    procedure("/hallpass.v1.AuditService/StreamAuditEvents", &[A::ReadAudit]).as_endless_stream(),
    procedure("/hallpass.v1.AdminService/ListAllTokens", &[A::ListAllTokens]),
    procedure("/hallpass.v1.AdminService/CountAllTokens", &[A::ListAllTokens]),
    procedure("/hallpass.v1.AdminService/RevokeTokens", &[A::RevokeTokens]).with_token_list(),
    procedure("/hallpass.v1.AdminService/RevokeLeakedTokens", &[A::RevokeLeaked]),
    procedure("/hallpass.v1.AdminService/CheckData", &[A::CheckData]).as_endless_stream(),
    procedure("/hallpass.v1.AdminService/BackUpData", &[A::BackUpData, A::ListAllTokens, A::ListUsers, A::ReadAudit]).as_endless_stream(),
    procedure("/hallpass.v1.StatusService/GetServerStatus", &[A::GetServerStatus, A::GetServerCounts]).takes(C::OptionalToken),
    procedure("/envoy.service.auth.v3.Authorization/Check", &[]).takes(C::HolderInMessage).with_request_head().as_routine(),
    procedure("/grpc.health.v1.Health/Check", &[]).takes(C::Public).as_routine(),
    procedure("/grpc.health.v1.Health/List", &[]).takes(C::Public).as_routine(),
    procedure("/grpc.health.v1.Health/Watch", &[]).takes(C::Public).as_routine().as_endless_stream(),
];

/// gRPC's reflection, which streams in both directions, unlike our own procedures.
pub static GRPC: &[Endpoint] = &[REFLECTION, REFLECTION_ALPHA];

/// The web routes, the busiest first: the list is searched for every request that is not a call.
pub static WEB: &[Endpoint] = &[
    FORWARD_AUTH,
    INTROSPECT,
    HEALTHZ,
    READYZ,
    REVOKE,
    METADATA,
    PAGE,
    DOCS,
    PROTO,
    APP_CSS,
    APP_JS,
    COPY_JS,
    DOM_JS,
    ICON,
    READINESS_JS,
];

/// The only procedure that also takes a password.
pub const CREATE_TOKEN: Endpoint =
    procedure("/hallpass.v1.TokenService/CreateToken", &[A::CreateToken]).takes(C::TokenOrPassword);
/// Called by the benchmark as any user.
pub const GET_TOKEN: Endpoint = procedure("/hallpass.v1.TokenService/GetToken", &[A::GetToken]);
/// Called by the benchmark as a service.
pub const VERIFY_TOKEN: Endpoint =
    procedure("/hallpass.v1.TokenService/VerifyToken", &[A::VerifyToken]).as_routine();

/// gRPC reflection.
pub const REFLECTION: Endpoint =
    grpc_procedure("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
/// gRPC reflection for older clients.
pub const REFLECTION_ALPHA: Endpoint =
    grpc_procedure("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");

/// Paths below it are never for pages, whether they exist or not.
const OAUTH: &str = "/oauth2";
/// Introspection (RFC 7662).
pub const INTROSPECT: Endpoint = Endpoint {
    kind: Kind::Introspection,
    ..route("/oauth2/introspect")
}
.as_routine()
.does(&[A::VerifyToken])
.takes(C::Client)
.machines_only();
/// Revocation (RFC 7009).
pub const REVOKE: Endpoint = Endpoint {
    kind: Kind::Revocation,
    ..route("/oauth2/revoke")
}
.takes(C::OptionalClient)
.machines_only();
/// Authorization server metadata (RFC 8414).
pub const METADATA: Endpoint = route("/.well-known/oauth-authorization-server").machines_only();
/// Called by reverse proxies.
pub const FORWARD_AUTH: Endpoint = Endpoint {
    kind: Kind::ForwardAuth,
    ..route("/forward-auth")
}
.takes(C::Holder)
.as_routine()
.machines_only();
/// Liveness: the process is running.
pub const HEALTHZ: Endpoint = route("/healthz").as_routine();
/// Readiness: requests should be sent here.
pub const READYZ: Endpoint = Endpoint {
    timeout: Some(ready_timeout),
    ..route("/readyz")
}
.as_routine();
/// For Prometheus. It has a listener of its own, so it is not in [`WEB`].
pub const METRICS: Endpoint = route("/metrics").machines_only();

/// The start page.
pub const PAGE: Endpoint = route("/");
/// The README and the pages of docs/.
pub const DOCS: Endpoint = Endpoint {
    kind: Kind::Tree,
    ..route("/docs")
};
/// The protobuf files and their descriptor set.
pub const PROTO: Endpoint = Endpoint {
    kind: Kind::Tree,
    ..route("/proto")
};
/// Loaded by the start page.
pub const APP_CSS: Endpoint = file("/app.css");
/// Loaded by the start page.
pub const APP_JS: Endpoint = file("/app.js");
/// Loaded by the start page.
pub const COPY_JS: Endpoint = file("/copy.js");
/// Loaded by the start page.
pub const DOM_JS: Endpoint = file("/dom.js");
/// Loaded by the start page.
pub const ICON: Endpoint = file("/icon.svg");
/// Loaded by the start page.
pub const READINESS_JS: Endpoint = file("/readiness.js");

const fn ready_timeout(limits: &Limits) -> Duration {
    limits.ready_timeout
}

/// All endpoints.
pub fn all() -> impl Iterator<Item = &'static Endpoint> {
    [PROCEDURES, GRPC, WEB].into_iter().flatten()
}

/// The largest message size of any endpoint, in bytes.
pub fn max_message_bytes(limits: &Limits) -> usize {
    let bytes = all().map(|endpoint| endpoint.max_message_bytes(limits));
    bytes.max().unwrap_or_default()
}

/// The reflection procedure at a path.
pub fn find_grpc(path: &str) -> Option<&'static Endpoint> {
    GRPC.iter().find(|endpoint| endpoint.is_at(path))
}

/// The web route at a path.
pub fn find_web(path: &str) -> Option<&'static Endpoint> {
    WEB.iter().find(|endpoint| endpoint.is_at(path))
}

/// The services of our procedures, without duplicates.
pub fn services() -> &'static [&'static str] {
    static SERVICES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let mut services: Vec<_> = PROCEDURES.iter().filter_map(Endpoint::service).collect();
        services.sort_unstable();
        services.dedup();
        services
    });
    &SERVICES
}

/// Paths that are not for pages, nor is anything below them.
static MACHINES_ONLY: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let machines = all().filter(|endpoint| !endpoint.browsers);
    let paths = machines.map(|endpoint| endpoint.path);
    let paths = paths.filter(|path| !is_below(path, OAUTH));
    paths.chain([OAUTH]).collect()
});

/// Whether pages may call a path. Unknown paths count as such, so that a page sees the error, unless they are below
/// an endpoint for machines.
pub fn is_for_browsers(path: &str) -> bool {
    !MACHINES_ONLY.iter().any(|prefix| is_below(path, prefix))
}

#[cfg(test)]
mod tests;
