//! Compiles the suite's protos, which lie in the folder of the Go module that `go.mod` pins.

use std::{env, error::Error, fs, path::PathBuf, process::Command};

use prost::Message;

const PROTOS: [&str; 2] = [
    "connectrpc/conformance/v1/service.proto",
    "connectrpc/conformance/v1/server_compat.proto",
];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script through the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=go.mod");
    println!("cargo::rerun-if-changed=build.rs");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let protos = suite_folder()?.join("proto");

    let descriptors = protox::compile(PROTOS, [&protos])?.encode_to_vec();
    // connectrpc-axum-build reads this very name, then deletes it.
    fs::write(out_dir.join("descriptor.bin"), &descriptors)?;
    fs::write(out_dir.join("conformance.fds"), &descriptors)?;

    let protos = protos
        .to_str()
        .ok_or("the path of the Go module is not UTF-8")?;
    connectrpc_axum_build::compile_protos(&PROTOS, &[protos])
        .with_prost_config(|config| {
            config.skip_protoc_run().enable_type_names();
        })
        .include_file("protos.rs")
        .compile()?;
    Ok(())
}

fn suite_folder() -> Result<PathBuf, Box<dyn Error>> {
    let go = |arguments: &[&str]| Command::new("go").args(arguments).output();
    let module = "connectrpc.com/conformance";
    let download = go(&["mod", "download", module])?;
    let list = go(&["list", "-m", "-f", "{{.Dir}}", module])?;
    let folder = String::from_utf8(list.stdout)?;
    if folder.trim().is_empty() {
        let said = String::from_utf8_lossy(&download.stderr).into_owned();
        return Err(format!("go cannot find {module}: {said}").into());
    }
    Ok(folder.trim().into())
}
