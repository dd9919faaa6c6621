//! The suite's messages, and its service.

pub mod service;

/// The suite's messages.
pub mod proto {
    #![expect(
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        rustdoc::broken_intra_doc_links,
        reason = "generated"
    )]
    mod all {
        include!(concat!(env!("OUT_DIR"), "/protos.rs"));
    }
    pub use all::connectrpc::conformance::v1::*;

    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/conformance.fds"));
}
