//! The code generated from `proto/`, its descriptors, and the files themselves.

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

/// The descriptors, for lookups at run time.
pub fn pool() -> &'static prost_reflect::DescriptorPool {
    static POOL: std::sync::LazyLock<prost_reflect::DescriptorPool> =
        std::sync::LazyLock::new(|| {
            prost_reflect::DescriptorPool::decode(FILE_DESCRIPTOR_SET)
                .expect("the descriptors were compiled into this binary")
        });
    &POOL
}

/// The serialised `FileDescriptorSet` of all files in `proto/` and what they import.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hallpass.fds"));

/// The files in `proto/`, each with its path below it.
pub const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/proto_files.rs"));
