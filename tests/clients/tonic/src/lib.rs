//! The generated client of `hallpass.v1`.

#[expect(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod hallpass {
    tonic::include_proto!("hallpass.v1");
}
