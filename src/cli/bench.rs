//! `hallpass bench`: how fast this machine is. It starts a server of its own on a new database and a free port, sends
//! it what services send all day, and leaves nothing behind.

pub mod load;
mod report;
pub mod requests;
pub mod server;

use std::{
    fs::File,
    io::{self, IsTerminal, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;
use futures_util::future::try_join_all;
use http::{Request, StatusCode};
use http_body_util::Full;
use prost::Message as _;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use super::{failure::Failure, output, plural};
use crate::{
    config::{environment::ADMIN_PASSWORD, values::number},
    domain::{
        clock::{Clock, SystemClock},
        duration,
        id::RequestId,
    },
    proto::hallpass::v1::{
        CreateTokenRequest, CreateTokenResponse, GetTokenRequest, VerifyTokenRequest,
    },
    server::endpoints::{CREATE_TOKEN, GET_TOKEN, VERIFY_TOKEN},
};
use load::{Client, Load, measure};
use report::ReportRow;
use requests::{Wire, forward_auth, introspection, procedure};
use server::Server;

/// About what a create adds to the write-ahead log.
const SYNC_BYTES: usize = 32 << 10;
const SYNCS: usize = 51;
/// How many tokens make the others.
const MAKERS: u32 = 16;

/// `hallpass bench`.
#[derive(Args, Debug)]
pub(super) struct Bench {
    /// How long each measurement takes.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration::parse)]
    duration: Duration,
    /// How many clients send requests at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = number(1..=512_u16))]
    clients: u16,
    /// How many tokens are checked in turn.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = number(1..=100_000_u32))]
    tokens: u32,
    /// Where the new database is made, and removed: on the disk to be measured.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Print JSON instead of text for people.
    #[arg(long)]
    json: bool,
}

/// What is measured, and the request for it that a token makes about itself.
type Task = (&'static str, fn(&str) -> Request<Full<Bytes>>);

/// Creates are measured after these.
const CHECKS: [Task; 4] = [
    ("introspection", |token| introspection(token, token)),
    ("forward-auth", forward_auth),
    ("VerifyToken", |token| {
        let message = VerifyTokenRequest {
            token: token.to_owned(),
            ..VerifyTokenRequest::default()
        };
        procedure(Wire::Json, VERIFY_TOKEN.path, token, &message)
    }),
    ("GetToken", |token| {
        let token_id = token.split('_').nth(1).unwrap_or_default().to_owned();
        procedure(
            Wire::Json,
            GET_TOKEN.path,
            token,
            &GetTokenRequest { token_id },
        )
    }),
];

/// Runs `hallpass bench`.
pub(super) fn run(args: &Bench) -> Result<(), Failure> {
    let runtime = Builder::new_multi_thread().enable_all().build();
    runtime.map_err(no_signals)?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
        // What is dropped stops the server and removes its folder.
        tokio::select! {
            ended = measure_all(args) => ended,
            _ = interrupt.recv() => Err(interrupted()),
            _ = terminate.recv() => Err(interrupted()),
        }
    })
}

fn no_signals(error: io::Error) -> Failure {
    Failure::failed(format!("cannot listen for signals: {error}"))
}

fn interrupted() -> Failure {
    Failure::failed("interrupted: nothing was measured to its end")
}

async fn measure_all(args: &Bench) -> Result<(), Failure> {
    let folder = tempfile::Builder::new()
        .prefix("hallpass-bench-")
        .tempdir_in(&args.folder)
        .map_err(|error| Failure::failed(format!("cannot make a folder: {error}")))?;
    let password = RequestId::generate(SystemClock.now()).to_string();
    let server = serve(folder.path(), &password)
        .map_err(|error| Failure::failed(format!("cannot measure: {error}")))?;
    let sync = sync_time(folder.path())
        .map_err(|error| Failure::failed(format!("cannot measure the disk: {error}")))?;
    show_progress(&format!("making {}", plural::count(args.tokens, "token")));
    let tokens = make_tokens(&server, &password, args.tokens).await;
    let tokens = tokens.map_err(failed)?;
    let clients = usize::from(args.clients);
    let mut loads: Vec<_> = CHECKS
        .map(|(name, request)| {
            let requests = tokens.iter().map(|token| request(token));
            (name, clients, Load::new(requests.collect()))
        })
        .into();
    // One client alone shows what a create takes; many show how they share commits.
    let creates = if clients > 1 {
        vec![1, clients]
    } else {
        vec![1]
    };
    for clients in creates {
        // A token that was made with another one cannot make any.
        let maker = sign_in(&server, &password).await.map_err(failed)?;
        loads.push(("CreateToken", clients, Load::new(vec![create(&maker)])));
    }
    let mut rows = Vec::new();
    for (name, clients, load) in loads {
        show_progress(&format!("{name} by {clients}"));
        let measured = measure(&server, &Arc::new(load), clients, args.duration).await;
        rows.push(ReportRow::new(name, clients, &measured.map_err(failed)?));
    }
    report::print(&rows, sync, server.resident_bytes(), args.json)?;
    Ok(())
}

fn failed(error: impl ToString) -> Failure {
    Failure::failed(format!("the server failed: {}", error.to_string()))
}

/// What is being done, for who watches.
fn show_progress(what: &str) {
    if io::stderr().is_terminal() {
        output::hint(&format!("{what} …"));
    }
}

/// This very program on a database in `folder`.
fn serve(folder: &Path, password: &str) -> io::Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["serve", "--listen=127.0.0.1:0", "--log-level=warn"])
        .args(["--max-tokens-per-user=1000000000", "--database-url"])
        .arg(format!("sqlite:{}", folder.join("bench.db").display()))
        // None of the settings that are in force here.
        .env_clear()
        .env(ADMIN_PASSWORD, password)
        // Ctrl-C is for this process, which ends the other.
        .process_group(0);
    Server::start(&mut command)
}

/// The median time to sync what was just written to a file in `folder`: a create waits for that at least.
fn sync_time(folder: &Path) -> io::Result<Duration> {
    let mut file = File::create_new(folder.join("sync"))?;
    let bytes = vec![0; SYNC_BYTES];
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&bytes)?;
        let begin = Instant::now();
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}

/// Creates a token with another one.
fn create(bearer: &str) -> Request<Full<Bytes>> {
    let message = CreateTokenRequest {
        note: "of a benchmark".to_owned(),
        ..CreateTokenRequest::default()
    };
    procedure(Wire::Json, CREATE_TOKEN.path, bearer, &message)
}

/// A token of the server's admin.
async fn sign_in(server: &Server, password: &str) -> load::Result<String> {
    let message = CreateTokenRequest {
        username: "admin".to_owned(),
        password: password.to_owned(),
        ..CreateTokenRequest::default()
    };
    let request = procedure(Wire::Proto, CREATE_TOKEN.path, "", &message);
    let mut client = Client::connect(server.address, request.version()).await?;
    let reply = client.send(request, StatusCode::OK).await?;
    Ok(CreateTokenResponse::decode(reply)?.token)
}

/// Makes `count` tokens, and gives their plaintexts.
async fn make_tokens(server: &Server, password: &str, count: u32) -> load::Result<Vec<String>> {
    let first = sign_in(server, password).await?;
    let message = CreateTokenRequest::default();
    let load = Load::new(vec![procedure(
        Wire::Proto,
        CREATE_TOKEN.path,
        &first,
        &message,
    )]);
    let makers = (0..MAKERS).map(async |maker| {
        let mut client = load.connect(server.address).await?;
        let mut made = Vec::new();
        for _ in 0..count / MAKERS + u32::from(maker < count % MAKERS) {
            let reply = load.call(&mut client).await?;
            made.push(CreateTokenResponse::decode(reply)?.token);
        }
        load::Result::Ok(made)
    });
    Ok(try_join_all(makers).await?.concat())
}
