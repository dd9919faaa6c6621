//! An HTTP/1.1 client that sends raw bytes on one connection.

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use prost::Message;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::TestServer;

pub(super) struct Http1(BufReader<TcpStream>);

pub(super) struct Reply {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    /// The code of a Connect error.
    pub(super) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The reason in its `ErrorInfo`.
    pub(super) fn reason(&self) -> String {
        let json = self.json();
        let detail = &json["details"][0];
        assert_eq!(detail["type"], "google.rpc.ErrorInfo");
        let value = STANDARD_NO_PAD
            .decode(detail["value"].as_str().unwrap())
            .unwrap();
        tonic_types::pb::ErrorInfo::decode(&*value).unwrap().reason
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Http1 {
    pub(super) async fn connect(server: &TestServer) -> Self {
        Self(BufReader::new(
            TcpStream::connect(server.address).await.unwrap(),
        ))
    }

    pub(super) async fn post(&mut self, path: &str, content_type: &str, body: &str) -> Reply {
        self.write_post(path, content_type, body).await;
        self.read().await
    }

    pub(super) async fn write_post(&mut self, path: &str, content_type: &str, body: &str) {
        let headers = [("content-type", content_type)];
        self.write(&request("POST", path, &headers, body)).await;
    }

    pub(super) async fn post_chunked(
        &mut self,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> Reply {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\n\
             transfer-encoding: chunked\r\n\r\n{:x}\r\n",
            body.len()
        );
        self.write(&[head.as_bytes(), body.as_bytes(), b"\r\n0\r\n\r\n"].concat())
            .await;
        self.read().await
    }

    pub(super) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        self.write(&request(method, path, headers, body)).await;
        self.read().await
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    pub(super) async fn read(&mut self) -> Reply {
        let mut reply = self.read_head().await;
        let length = reply
            .header("content-length")
            .map_or(0, |l| l.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        reply.body = String::from_utf8_lossy(&body).into_owned();
        reply
    }

    pub(super) async fn read_head(&mut self) -> Reply {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).await.unwrap(), 0, "closed");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines[1..].iter().map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        });
        Reply {
            status,
            headers: headers.collect(),
            body: String::new(),
        }
    }

    pub(super) async fn expect_close(&mut self) {
        assert_eq!(self.0.read(&mut [0; 1]).await.unwrap_or(0), 0, "still open");
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    write!(head, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    head.into_bytes()
}
