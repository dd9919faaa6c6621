//! The one list of what is served: each procedure, probe, page and OAuth endpoint with what it does, which
//! credentials it takes, whether a browser's page may call it, and what it counts as.
//!
//! Router, CORS, authentication, metrics, OAuth's metadata and gRPC's own services read it, and no path stands
//! anywhere else in the program; a test walks the descriptors to see that each procedure stands here once.
//! Who may do an action is `app::authz`'s matter, which knows no paths. A new procedure is a line of
//! [`PROCEDURES`].

mod endpoint;

use std::{sync::LazyLock, time::Duration};

use crate::app::authz::Action as A;

use super::limits::Limits;
use endpoint::{file, grpc_procedure, procedure, route};

pub use endpoint::{Credentials, Endpoint, Kind, OTHER, is_below};

use Credentials as C;

/// The package of our own services.
pub const PACKAGE: &str = "hallpass.v1";

/// Other names that clients call our services by, each with the name we use.
pub const ALIASES: &[(&str, &str)] = &[
    // The contract names no package.
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

/// Our procedures. The default: a bearer token, and pages may call.
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
    procedure("/hallpass.v1.StatusService/GetServerStatus", &[A::GetServerStatus, A::GetServerCounts]).takes(C::OptionalToken),
    procedure("/envoy.service.auth.v3.Authorization/Check", &[]).takes(C::HolderInMessage).with_request_head(),
    procedure("/grpc.health.v1.Health/Check", &[]).takes(C::Public),
    procedure("/grpc.health.v1.Health/List", &[]).takes(C::Public),
    procedure("/grpc.health.v1.Health/Watch", &[]).takes(C::Public).as_endless_stream(),
];

/// gRPC's reflection, which streams both ways, as no procedure of ours does.
pub static GRPC: &[Endpoint] = &[REFLECTION, REFLECTION_ALPHA];

/// The web routes, the busiest first: they are looked through for each request that is no call.
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

/// The one procedure that a password opens, too.
pub const CREATE_TOKEN: Endpoint =
    procedure("/hallpass.v1.TokenService/CreateToken", &[A::CreateToken]).takes(C::TokenOrPassword);
/// What the benchmark asks as any user.
pub const GET_TOKEN: Endpoint = procedure("/hallpass.v1.TokenService/GetToken", &[A::GetToken]);
/// What the benchmark asks as a service.
pub const VERIFY_TOKEN: Endpoint =
    procedure("/hallpass.v1.TokenService/VerifyToken", &[A::VerifyToken]);

/// Reflection.
pub const REFLECTION: Endpoint =
    grpc_procedure("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
/// Reflection, as older clients ask for it.
pub const REFLECTION_ALPHA: Endpoint =
    grpc_procedure("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");

/// Nothing below it is for pages, whether it is served or not.
const OAUTH: &str = "/oauth2";
/// Introspection (RFC 7662).
pub const INTROSPECT: Endpoint = route("/oauth2/introspect")
    .does(&[A::VerifyToken])
    .takes(C::Client)
    .machines_only();
/// Revocation (RFC 7009).
pub const REVOKE: Endpoint = route("/oauth2/revoke")
    .takes(C::OptionalClient)
    .machines_only();
/// OAuth's metadata (RFC 8414).
pub const METADATA: Endpoint = route("/.well-known/oauth-authorization-server").machines_only();
/// Where reverse proxies ask.
pub const FORWARD_AUTH: Endpoint = Endpoint {
    kind: Kind::Tree,
    ..route("/forward-auth")
}
.takes(C::Holder)
.machines_only();
/// Whether the process lives.
pub const HEALTHZ: Endpoint = route("/healthz");
/// Whether requests should be sent here.
pub const READYZ: Endpoint = Endpoint {
    timeout: Some(ready_timeout),
    ..route("/readyz")
};
/// For Prometheus; on a listener of its own, so it is none of [`WEB`].
pub const METRICS: Endpoint = route("/metrics").machines_only();

/// The page.
pub const PAGE: Endpoint = route("/");
/// The README.
pub const DOCS: Endpoint = route("/docs");
/// The protobuf files and their descriptor set.
pub const PROTO: Endpoint = Endpoint {
    kind: Kind::Tree,
    ..route("/proto")
};
/// A file that the page loads.
pub const APP_CSS: Endpoint = file("/app.css");
/// A file that the page loads.
pub const APP_JS: Endpoint = file("/app.js");
/// A file that the page loads.
pub const COPY_JS: Endpoint = file("/copy.js");
/// A file that the page loads.
pub const DOM_JS: Endpoint = file("/dom.js");
/// A file that the page loads.
pub const ICON: Endpoint = file("/icon.svg");
/// A file that the page loads.
pub const READINESS_JS: Endpoint = file("/readiness.js");

const fn ready_timeout(limits: &Limits) -> Duration {
    limits.ready_timeout
}

/// The whole list.
pub fn all() -> impl Iterator<Item = &'static Endpoint> {
    [PROCEDURES, GRPC, WEB].into_iter().flatten()
}

/// The largest message of any endpoint, in bytes.
pub fn max_message_bytes(limits: &Limits) -> usize {
    let bytes = all().map(|endpoint| endpoint.max_message_bytes(limits));
    bytes.max().unwrap_or_default()
}

/// The procedure of ours at a canonical path. It is looked for once, when the method table is made.
pub fn find_procedure(path: &str) -> Option<&'static Endpoint> {
    PROCEDURES.iter().find(|endpoint| endpoint.is_at(path))
}

/// The procedure of gRPC's reflection at a path.
pub fn find_grpc(path: &str) -> Option<&'static Endpoint> {
    GRPC.iter().find(|endpoint| endpoint.is_at(path))
}

/// What a request, that is no call, counts as.
pub fn web_label(path: &str) -> &'static str {
    let found = WEB.iter().find(|endpoint| endpoint.is_at(path));
    found.map_or(OTHER, |endpoint| endpoint.label)
}

/// The services of our procedures, each once.
pub fn services() -> &'static [&'static str] {
    static SERVICES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let mut services: Vec<_> = PROCEDURES.iter().filter_map(Endpoint::service).collect();
        services.sort_unstable();
        services.dedup();
        services
    });
    &SERVICES
}

/// Where pages have no business, with all below.
static MACHINES_ONLY: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let machines = all().filter(|endpoint| !endpoint.browsers);
    let paths = machines.map(|endpoint| endpoint.path);
    let paths = paths.filter(|path| !is_below(path, OAUTH));
    paths.chain([OAUTH]).collect()
});

/// Whether a web page may have business with a path. One that is not served is told so, but for what is below
/// an endpoint for machines.
pub fn is_for_browsers(path: &str) -> bool {
    !MACHINES_ONLY.iter().any(|prefix| is_below(path, prefix))
}

#[cfg(test)]
mod tests;
