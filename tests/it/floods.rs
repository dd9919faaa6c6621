//! Floods of requests take a bounded amount of memory and disk, and affect nobody else.

mod names;
mod sign_ins;

use std::fs;

use hallpass::{
    app::{Error, caller::ClientInfo, error::Unauthenticated},
    domain::{
        id::{RequestId, TokenId},
        token_text::{TokenPrefix, TokenText},
    },
};

use crate::test_app::{START, TestApp};

const MINUTE: std::time::Duration = std::time::Duration::from_mins(1);

/// Calls the use case that every request begins with, since 100,000 requests would take minutes; the code before
/// it is the same for every bad bearer token.
#[tokio::test]
async fn hundred_thousand_unknown_tokens_write_at_most_600_rows_a_minute() {
    const BEARERS: u32 = 100_000;
    let app = TestApp::start().await;
    let before = app.audit_len();
    for n in 0..BEARERS {
        // Well-formed tokens from 50,000 networks.
        let text = TokenText::generate(&TokenPrefix::default(), TokenId::generate(START));
        let origin = ClientInfo {
            request_id: RequestId::generate(START),
            client_request_id: None,
            ip: Some(std::net::Ipv4Addr::from_bits((n / 2) << 8).into()),
            user_agent: "x".repeat(256),
        };
        match app
            .app
            .authenticate(text.expose(), &origin.clone().into())
            .await
        {
            Err(Error::Unauthenticated(Unauthenticated::WrongToken)) => {}
            other => panic!("{other:?}"),
        }
    }
    app.clock.advance(MINUTE);
    let stopped = app.stop().await;
    let sql = stopped.sql();
    let (rows, counted): (i64, u32) = sql
        .query_one(
            "SELECT count(*), sum(count) FROM audit WHERE action = 'authenticate.token'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert!(rows <= 600, "{rows} rows");
    assert_eq!(counted, BEARERS, "every refusal is counted");
    assert!(rows + before > 100, "the first ones have rows of their own");
    let bytes: i64 = sql
        .query_one(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(bytes < 2 * 1024 * 1024, "{bytes} bytes of database");
}

/// A value of `/proc/PID/status` in KiB, such as `VmHWM`, the peak of the resident memory.
pub(super) fn kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
