//! The code generated from `proto/`, and its descriptors.

#![expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    rustdoc::broken_intra_doc_links,
    reason = "generated"
)]

include!(concat!(env!("OUT_DIR"), "/protos.rs"));

/// The serialised `FileDescriptorSet` of all files in `proto/` and what they import.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hallpass.fds"));
