//! A server under test for `connectconformance`: it reads how it should serve from stdin, says where it
//! does on stdout, and serves until it is killed.

use std::{
    error::Error,
    io::{Read, Write},
    sync::Arc,
};

use hallpass::{
    app::{App, AppOptions},
    domain::clock::SystemClock,
    metrics::LoadShed,
    server::{
        edge::{Edge, MethodTable},
        endpoints::{self, Credentials, Endpoint, Kind},
        limits::Limits,
        listener,
    },
    store::{Db, OpenAs, StoreOptions},
};
use hallpass_conformance::{
    proto::{self, ServerCompatRequest, ServerCompatResponse},
    service,
};
use prost::Message;
use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let request = ServerCompatRequest::decode(&*read_message()?)?;
    let mut limits = Limits::default();
    if request.message_receive_limit > 0 {
        limits.max_body_bytes = usize::try_from(request.message_receive_limit)?;
    }
    let limits = Arc::new(limits);

    let socket = TcpListener::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    write_message(&ServerCompatResponse {
        host: address.ip().to_string(),
        port: address.port().into(),
        ..ServerCompatResponse::default()
    })?;

    let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET)?;
    let methods = Arc::new(MethodTable::new(&pool, public(&pool), &[])?);
    let folder = tempfile::tempdir()?;
    let options = StoreOptions::sqlite(folder.path().join("hallpass.db"), OpenAs::Serve);
    let app = App::start(
        Db::open(&options)?,
        Arc::new(SystemClock),
        AppOptions::default(),
    )
    .await?;
    // The suite compares the details of errors exactly.
    let edge = Edge::new(app, methods, service::router(), Arc::clone(&limits)).without_reasons();
    let edge = edge.into_service();
    let load_shed = LoadShed::default();
    listener::serve(socket, edge, limits, load_shed, std::future::pending()).await;
    Ok(())
}

/// Entries of all procedures, which need no credential.
fn public(pool: &DescriptorPool) -> &'static [Endpoint] {
    let services: Vec<_> = pool.services().collect();
    let methods = services.iter().flat_map(ServiceDescriptor::methods);
    let endpoint = |path: String| Endpoint {
        path: path.leak(),
        kind: Kind::Procedure,
        credentials: Credentials::Public,
        ..endpoints::GET_TOKEN
    };
    let path = |method: MethodDescriptor| {
        format!("/{}/{}", method.parent_service().full_name(), method.name())
    };
    methods.map(path).map(endpoint).collect::<Vec<_>>().leak()
}

/// A message on stdin: its length in four bytes, big-endian, then the message.
fn read_message() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut length = [0; 4];
    std::io::stdin().read_exact(&mut length)?;
    let mut message = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    std::io::stdin().read_exact(&mut message)?;
    Ok(message)
}

fn write_message(message: &impl Message) -> Result<(), Box<dyn Error>> {
    let message = message.encode_to_vec();
    let mut stdout = std::io::stdout();
    stdout.write_all(&u32::try_from(message.len())?.to_be_bytes())?;
    stdout.write_all(&message)?;
    Ok(stdout.flush()?)
}
