//! Compiles `proto/` without protoc: protox makes the descriptor set, and connectrpc-axum-build makes messages and
//! routers from it. A second copy of the set is embedded for reflection, `ProtoJSON` and the method table. So are the
//! files themselves, which the server serves.

use std::{
    env,
    error::Error,
    fmt::{Display, Write},
    fs, io,
    path::PathBuf,
};

use prost::Message;

const PROTOS: [&str; 15] = [
    "hallpass/v1/token.proto",
    "hallpass/v1/user.proto",
    "hallpass/v1/authn.proto",
    "hallpass/v1/audit.proto",
    "hallpass/v1/admin.proto",
    "hallpass/v1/reason.proto",
    "hallpass/v1/status.proto",
    "buf/registry/owner/v1/user.proto",
    "envoy/config/core/v3/address.proto",
    "envoy/config/core/v3/base.proto",
    "envoy/service/auth/v3/attribute_context.proto",
    "envoy/service/auth/v3/external_auth.proto",
    "envoy/type/v3/http_status.proto",
    "google/rpc/status.proto",
    "grpc/health/v1/health.proto",
];

/// Messages with a secret get no `Debug`, which could print it.
const SECRET: [&str; 11] = [
    "hallpass.v1.CreateTokenRequest",
    "hallpass.v1.CreateTokenResponse",
    "hallpass.v1.CreateUserRequest",
    "hallpass.v1.RevokeTokensRequest",
    "hallpass.v1.RotateTokenResponse",
    "hallpass.v1.SetPasswordRequest",
    "hallpass.v1.VerifyTokenRequest",
    "envoy.service.auth.v3.AttributeContext.HttpRequest",
    "envoy.service.auth.v3.AttributeContext.Request",
    "envoy.service.auth.v3.AttributeContext",
    "envoy.service.auth.v3.CheckRequest",
];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo passes OUT_DIR to a build script in the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=docs");
    println!("cargo::rerun-if-changed=build.rs");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let descriptors = protox::compile(PROTOS, ["proto"])?.encode_to_vec();
    // connectrpc-axum-build reads the file of this name, then deletes it.
    fs::write(out_dir.join("descriptor.bin"), &descriptors)?;
    fs::write(out_dir.join("hallpass.fds"), &descriptors)?;

    let pages = fs::read_dir("docs")?.map(|entry| Ok(entry?.file_name().display().to_string()));
    let pages = pages.collect::<Result<Vec<_>, io::Error>>()?;
    fs::write(out_dir.join("proto_files.rs"), embed("proto", PROTOS)?)?;
    fs::write(out_dir.join("docs_pages.rs"), embed("docs", pages)?)?;

    connectrpc_axum_build::compile_protos(&PROTOS, &["proto"])
        .with_prost_config(|config| {
            config
                .skip_protoc_run()
                .enable_type_names()
                .skip_debug(SECRET);
        })
        .include_file("protos.rs")
        .compile()?;
    Ok(())
}

/// The source of a list of the files' names and contents.
fn embed(
    folder: &str,
    names: impl IntoIterator<Item = impl Display>,
) -> Result<String, Box<dyn Error>> {
    let mut files = String::from("&[\n");
    for name in names {
        let path = format!(r#"concat!(env!("CARGO_MANIFEST_DIR"), "/{folder}/{name}")"#);
        writeln!(files, r#"("{name}", include_bytes!({path})),"#)?;
    }
    files.push(']');
    Ok(files)
}
