//! A client: one connection, kept open, and one request after the other. It reads no more of HTTP/1.1 than our
//! own server's answers need.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Answers are small; this only keeps a mistake from growing.
const MAX_ANSWER: usize = 1 << 20;

/// An open connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
            line: String::new(),
            body: Vec::new(),
        })
    }

    /// Sends a whole request, and gives the body of its answer. Anything but 200 is an error.
    pub(super) fn ask(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        self.stream.get_mut().write_all(request)?;
        let status = self.read_line()?.get(9..12).map(str::to_owned);
        let mut length = 0;
        loop {
            let line = self.read_line()?.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        if length > MAX_ANSWER {
            return Err(io::Error::other("the server's answer is too long"));
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        if status.as_deref() == Some("200") {
            return Ok(&self.body);
        }
        let status = status.unwrap_or_default();
        let told = String::from_utf8_lossy(&self.body);
        Err(io::Error::other(format!(
            "the server answered {status} {told}"
        )))
    }

    fn read_line(&mut self) -> io::Result<&str> {
        self.line.clear();
        match self.stream.read_line(&mut self.line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(&self.line),
        }
    }
}
