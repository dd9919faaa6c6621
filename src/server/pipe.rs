//! A pipe in memory: how a command that owns the database itself calls the services that it serves to itself.

use std::{future, io};

use tokio::io::DuplexStream;

use super::listener::{Listener, Peer};

const BUFFER_BYTES: usize = 64 * 1024;

/// The server's end, on which there is one connection, of the user `uid`.
#[derive(Debug)]
pub(super) struct Pipe {
    stream: Option<DuplexStream>,
    uid: u32,
}

impl Pipe {
    /// Both ends: the server's and the client's.
    pub(super) fn new(uid: u32) -> (Self, DuplexStream) {
        let (server, client) = tokio::io::duplex(BUFFER_BYTES);
        let stream = Some(server);
        (Self { stream, uid }, client)
    }
}

impl Listener for Pipe {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.stream.take() {
            Some(stream) => Ok((stream, Peer::Local { uid: self.uid })),
            None => future::pending().await,
        }
    }
}
