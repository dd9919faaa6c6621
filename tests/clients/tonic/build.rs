//! Generates the client as tonic's users do, with protox in place of protoc.

use std::error::Error;

const PROTOS: [&str; 3] = [
    "hallpass/v1/token.proto",
    "hallpass/v1/user.proto",
    "hallpass/v1/authn.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../../../proto");
    let descriptors = protox::compile(PROTOS, ["../../../proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(descriptors)?;
    Ok(())
}
