//! What the author of a client needs, for exactly this version: the README at `/docs`, with the pages of docs/ below it;
//! the protobuf files below `/proto`, with all their imports except protobuf's own; and their descriptor set, for tools
//! that take one. `/proto` itself lists the paths, one per line.

use axum::{Router, body::Bytes};

use super::{
    super::endpoints::{DOCS, PROTO},
    static_files::File,
};
use crate::proto;

/// Browsers display it, whatever the text is.
const TEXT: &str = "text/plain; charset=utf-8";
/// draft-ietf-dispatch-mime-protobuf
const PROTOBUF: &str = "application/protobuf";

const README: &[u8] = include_bytes!("../../../README.md");
const PAGES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/docs_pages.rs"));
/// The usual file extension of a binary descriptor set.
const DESCRIPTOR_SET: &str = "hallpass.binpb";

/// `GET` and `HEAD` of each of them.
pub fn routes() -> Router {
    let file = |content_type, bytes| File::new(content_type, Bytes::from_static(bytes));
    let below = |name: &str| format!("{}/{name}", PROTO.path);
    let names = proto::FILES.iter().map(|(name, _)| *name);
    let list = names.chain([DESCRIPTOR_SET]);
    let list: String = list.flat_map(|name| [name, "\n"]).collect();
    let list = File::new(TEXT, list.into());
    let routes = file(TEXT, README)
        .at(DOCS.path)
        .merge(list.clone().at(PROTO.path))
        .merge(list.at(&below("")))
        .merge(file(PROTOBUF, proto::FILE_DESCRIPTOR_SET).at(&below(DESCRIPTOR_SET)));
    let files = proto::FILES
        .iter()
        .map(|(name, bytes)| (below(name), bytes));
    let pages = PAGES.iter();
    let pages = pages.map(|(name, bytes)| (format!("{}/{name}", DOCS.path), bytes));
    files.chain(pages).fold(routes, |routes, (path, bytes)| {
        routes.merge(file(TEXT, bytes).at(&path))
    })
}
