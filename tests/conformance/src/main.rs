//! A server under test for `connectconformance`: it reads how it should serve from stdin, says where it
//! does on stdout, and serves until it is killed.

use std::{
    error::Error,
    fs::{self, Permissions},
    io::{Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
};

use hallpass::{
    app::{App, AppOptions},
    domain::clock::SystemClock,
    metrics::LoadShed,
    server::{
        self, TlsOptions,
        edge::{Edge, MethodTable},
        endpoints::{self, Credentials, Endpoint, Kind},
        limits::Limits,
        listener::{self, Transport},
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
    let edge =
        Edge::new(app.clone(), methods, service::router(), Arc::clone(&limits)).without_reasons();
    let edge = edge.into_service();
    let tls = write_certificates(&request, folder.path())?;
    let transport: Box<dyn Transport> = match &tls {
        Some(tls) => Box::new(server::over_tls(socket, tls, &app)?),
        None => Box::new(socket),
    };
    write_message(&ServerCompatResponse {
        host: address.ip().to_string(),
        port: address.port().into(),
        pem_cert: request.server_creds.unwrap_or_default().cert,
    })?;
    let load_shed = LoadShed::default();
    let forever = std::future::pending();
    listener::serve(vec![transport], edge, limits, load_shed, forever).await;
    Ok(())
}

/// Writes the certificates that the suite wants the server to use into `folder`; `None`: it wants no TLS.
fn write_certificates(
    request: &ServerCompatRequest,
    folder: &Path,
) -> std::io::Result<Option<TlsOptions>> {
    if !request.use_tls {
        return Ok(None);
    }
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok::<_, std::io::Error>(path)
    };
    let server = request.server_creds.clone().unwrap_or_default();
    let client_ca = (!request.client_tls_cert.is_empty())
        .then(|| write("client-ca.pem", &request.client_tls_cert));
    Ok(Some(TlsOptions {
        certificate: write("cert.pem", &server.cert)?,
        key: write("key.pem", &server.key)?,
        client_ca: client_ca.transpose()?,
        reload: Arc::default(),
    }))
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
