//! A blocking Connect JSON client on a single connection. The other tests' asynchronous client pools its
//! connections; here it matters which connection carried a reply, and when one broke.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use prost::Message as _;
use serde_json::{Value, json};
use tonic_types::pb::ErrorInfo;

/// Longer than any wait of the server.
const TIMEOUT: Duration = Duration::from_secs(40);

pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Reply {
    /// `ok`, or the error's code and reason.
    pub(super) fn outcome(&self) -> String {
        if self.status == 200 {
            return "ok".to_owned();
        }
        let code = self.body["code"].as_str().unwrap_or("no code");
        match self.reason() {
            Some(reason) => format!("{code} {reason}"),
            None => code.to_owned(),
        }
    }

    fn reason(&self) -> Option<String> {
        let detail = self.body["details"][0]["value"].as_str()?;
        let detail = STANDARD_NO_PAD.decode(detail.trim_end_matches('=')).ok()?;
        Some(ErrorInfo::decode(detail.as_slice()).ok()?.reason)
    }

    pub(super) fn text(&self, field: &str) -> String {
        let text = self.body[field].as_str();
        text.unwrap_or_else(|| panic!("no {field} in {self:?}"))
            .to_owned()
    }
}

impl Client {
    pub(super) fn connect(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// The client's end of the connection.
    pub(super) fn port(&self) -> u16 {
        self.stream.get_ref().local_addr().unwrap().port()
    }

    /// Calls a procedure of `hallpass.v1`, such as `TokenService/GetToken`.
    pub(super) fn call(
        &mut self,
        procedure: &str,
        bearer: &str,
        message: &Value,
    ) -> io::Result<Reply> {
        let body = message.to_string();
        let authorization = if bearer.is_empty() {
            String::new()
        } else {
            format!("Authorization: Bearer {bearer}\r\n")
        };
        let request = format!(
            "POST /hallpass.v1.{procedure} HTTP/1.1\r\nHost: hallpass\r\n{authorization}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let head = self.line()?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut length = None;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().ok(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length.expect("every response has a Content-Length")];
        self.stream.read_exact(&mut body)?;
        let body = serde_json::from_slice(&body)?;
        Ok(Reply { status, body })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// Signs in as the first admin and returns a token.
    pub(super) fn sign_in(&mut self, password: &str) -> io::Result<Reply> {
        let message = json!({ "username": "admin", "password": password });
        self.call("TokenService/CreateToken", "", &message)
    }

    pub(super) fn create(&mut self, bearer: &str, note: &str) -> io::Result<Reply> {
        self.call("TokenService/CreateToken", bearer, &json!({ "note": note }))
    }

    pub(super) fn delete(&mut self, bearer: &str, id: &str) -> io::Result<Reply> {
        self.call(
            "TokenService/DeleteToken",
            bearer,
            &json!({ "tokenId": id }),
        )
    }

    /// Whether a token authenticates.
    pub(super) fn check(&mut self, bearer: &str) -> io::Result<Reply> {
        self.call("AuthnService/GetCurrentUser", bearer, &json!({}))
    }
}

/// The public part of a token's plaintext.
pub(super) fn id_of(token: &str) -> String {
    token.split('_').nth(1).expect("a token").to_owned()
}
