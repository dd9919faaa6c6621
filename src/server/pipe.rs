//! An in-memory pipe, for commands that open the database themselves and then call its services within the process.

use std::{future, io};

use tokio::io::DuplexStream;

use super::listener::{Listener, Peer};

const BUFFER_BYTES: usize = 64 * 1024;

/// The server's end, with a single connection of the user `uid`.
#[derive(Debug)]
pub(super) struct Pipe {
    stream: Option<DuplexStream>,
    uid: u32,
}

impl Pipe {
    /// The server's end and the client's end.
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
