//! What connections over TLS cost in memory, in a process of their own.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio_rustls::rustls::{ClientConnection, StreamOwned, pki_types::ServerName};

use super::{Authority, REQUEST, command::flags};
use crate::cli::sandbox::{Sandbox, Serving};

const CONNECTIONS: usize = 200;

fn resident_kib(server: &Serving) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse().unwrap()
}

/// The largest handshake message that rustls takes, but for its end: what a client can make the server keep.
fn most_of_a_hello() -> Vec<u8> {
    let message = [&[1, 0, 0xff, 0xfa][..], &vec![0; 65_000]].concat();
    let records = message.chunks(16 * 1024).map(|part| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[22, 3, 1][..], &length, part].concat()
    });
    records.collect::<Vec<_>>().concat()
}

/// How much more memory a server has for each connection that `open` opens, in KiB: at least `enough`, once that is so.
fn kib_for_each<T>(authority: &Authority, enough: usize, open: impl Fn(&str) -> T) -> usize {
    let sandbox = Sandbox::empty();
    let [cert, key] = flags(authority);
    let server = sandbox.serve(&[&cert, &key, "--max-connections=1000"]);
    // The first ones make the process allocate what it keeps.
    let _first: Vec<_> = (0..20).map(|_| open(&server.address)).collect();
    let before = resident_kib(&server);
    let _open: Vec<_> = (0..CONNECTIONS).map(|_| open(&server.address)).collect();
    // An unfinished handshake is closed after 5 seconds.
    let until = Instant::now() + Duration::from_secs(4);
    let mut most = 0;
    while most < enough && Instant::now() < until {
        most = most.max(resident_kib(&server).saturating_sub(before) / CONNECTIONS);
        thread::sleep(Duration::from_millis(10));
    }
    most
}

#[test]
fn connections_take_what_the_documentation_says() {
    let authority = Authority::new();
    let config = Arc::new(authority.client(None));
    let idle = kib_for_each(&authority, 30, |server| {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let session = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut stream = StreamOwned::new(session, TcpStream::connect(server).unwrap());
        stream.write_all(REQUEST).unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream
    });
    assert!((25..50).contains(&idle), "{idle} KiB");
    let hello = most_of_a_hello();
    let unfinished = kib_for_each(&authority, 60, |server| {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.write_all(&hello).unwrap();
        stream
    });
    assert!((50..90).contains(&unfinished), "{unfinished} KiB");
}
