//! A peer that provokes warnings of a library again and again does not fill the log.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{
    process::Process,
    raw_http2::{ACK, GOAWAY, PING, RawHttp2, frame},
};

#[tokio::test]
async fn unsolicited_ping_acks_are_logged_a_few_times_and_counted() {
    let mut process = Process::start(&[]);
    let mut peer = RawHttp2::connect(process.address).await;
    let flood = frame(PING, ACK, 0, &[7; 8]).repeat(1_000);
    for _ in 0..50 {
        peer.write(&flood).await;
    }
    // The reply to this ping shows that the server has read all before it.
    peer.write(&frame(PING, 0, 0, b"the last")).await;
    loop {
        let frame = peer.read(Duration::from_secs(20)).await.unwrap();
        assert_ne!(
            frame.kind, GOAWAY,
            "the control: the server does not refuse them"
        );
        if frame.kind == PING && frame.payload == b"the last" {
            break;
        }
    }
    drop(peer);
    process.signal(Signal::TERM);
    let start = Instant::now();
    while process.is_running() && start.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let log = process.log();
    assert!(
        (1..100).contains(&log.matches("PING").count()),
        "{}",
        log.len()
    );
    assert!(log.len() < 32 * 1_024, "{}", log.len());
    let told = log
        .lines()
        .find(|line| line.contains("records were left out"));
    let told = told.unwrap();
    assert!(
        told.contains(" records=49980 ") && told.contains("h2"),
        "{told}"
    );
}
