//! gRPC server reflection, served by tonic.

use std::{io, net::IpAddr};

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tonic::Status;

use crate::{app::caller::Origin, proto};

use super::{
    anonymous_streams::{AnonymousStream, AnonymousStreams, TOO_MANY},
    endpoints::{self, Endpoint},
};

/// Both versions of the reflection service.
pub(super) fn reflection(streams: AnonymousStreams) -> io::Result<Router> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection().build_v1().map_err(io::Error::other)?;
    let v1alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
    let bounded = middleware::from_fn(move |request: Request, next: Next| {
        let ip = request.extensions().get::<Origin>().and_then(|o| o.ip);
        bounded(streams.clone(), ip, request, next)
    });
    Ok(Router::new()
        .route_service(&methods_of(&endpoints::REFLECTION), v1)
        .route_service(&methods_of(&endpoints::REFLECTION_ALPHA), v1alpha)
        .layer(bounded))
}

/// The route that matches all methods of an endpoint's service.
fn methods_of(endpoint: &Endpoint) -> String {
    format!("/{}/{{method}}", endpoint.service().unwrap_or_default())
}

/// Ends the stream at its limits, with a status that says why.
async fn bounded(
    streams: AnonymousStreams,
    ip: Option<IpAddr>,
    request: Request,
    next: Next,
) -> Response {
    let Some(stream) = streams.admit(ip) else {
        return Status::resource_exhausted(TOO_MANY).into_http();
    };
    let response = next.run(request).await;
    response.map(|body| {
        let frames = stream::unfold(Some((body, stream)), next_frame);
        Body::new(StreamBody::new(frames))
    })
}

type Rest = Option<(Body, AnonymousStream)>;

async fn next_frame(rest: Rest) -> Option<(Result<Frame<Bytes>, axum::Error>, Rest)> {
    let (mut body, mut stream) = rest?;
    tokio::select! {
        frame = body.frame() => Some((frame?, Some((body, stream)))),
        ended = stream.ended() => {
            let mut trailers = http::HeaderMap::new();
            let added = Status::unavailable(ended.message()).add_header(&mut trailers);
            added.expect("the message is ASCII");
            Some((Ok(Frame::trailers(trailers)), None))
        }
    }
}
