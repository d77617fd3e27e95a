//! Clients that do not read: bounded, counted, and no trouble to others.

mod support;

use serde_json::json;
use support::{CLOSED, ECHO, FAULT, Owner, config, text, wait_for};
use zocket::{Config, SlowClient};

const CHUNK: usize = 64 * 1024;

fn chunk() -> String {
    format!("\"{}\"", "x".repeat(CHUNK))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_cut_off_and_what_it_missed_is_counted() {
    let mut owner = Owner::start(Config {
        max_backpressure: 256 * 1024,
        ..config()
    });
    let (_slow, slow) = owner.client().await;
    let (mut fast, other) = owner.client().await;
    let chunk = chunk();
    // More than the system's own buffers hold.
    for _ in 0..400 {
        owner.submit(|it| {
            it.to(ECHO, Some(chunk.as_bytes()), &[slow]);
        });
    }
    owner.submit(|it| {
        it.broadcast(ECHO, Some(b"1"))
            .to(ECHO, Some(b"2"), &[other]);
    });
    let fault = owner.next_of(FAULT);
    assert_eq!(fault.value["code"], json!("SLOW_CLIENT"));
    assert_eq!(owner.next().handle, slow);
    assert_eq!(text(&mut fast).await, r#"{"type":"echo","payload":1}"#);
    assert_eq!(text(&mut fast).await, r#"{"type":"echo","payload":2}"#);
    wait_for(&owner.server, |it| it.queued == 0);
    let metrics = owner.server.metrics();
    assert_eq!(metrics.sent, metrics.written + metrics.dropped);
    assert!(metrics.dropped > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_drop_a_slow_client_stays_and_gets_what_fits() {
    let limit = 256 * 1024;
    let slow_client = SlowClient::Drop;
    let mut owner = Owner::start(Config {
        max_backpressure: limit,
        slow_client,
        ..config()
    });
    let (mut socket, handle) = owner.client().await;
    owner.submit(|it| {
        it.join(handle, b"room");
    });
    let chunk = chunk();
    for n in 0..400 {
        owner.submit(|it| {
            match n % 3 {
                0 => it.to(ECHO, Some(chunk.as_bytes()), &[handle]),
                1 => it.rooms(ECHO, Some(chunk.as_bytes()), &[b"room"]),
                _ => it.broadcast(ECHO, Some(chunk.as_bytes())),
            };
        });
    }
    wait_for(&owner.server, |it| it.sent == 400);
    let metrics = owner.server.metrics();
    assert!(metrics.dropped > 0, "{metrics:?}");
    assert_eq!(
        metrics.sent,
        metrics.written + metrics.queued + metrics.dropped
    );
    // At the bound one more message is taken, whatever its size.
    assert!(
        usize::try_from(metrics.queued).unwrap() <= limit / CHUNK + 1,
        "{metrics:?}"
    );
    for _ in 0..metrics.sent - metrics.dropped {
        assert!(text(&mut socket).await.len() > CHUNK);
    }
    owner.submit(|it| {
        it.to(ECHO, Some(b"1"), &[handle]);
    });
    assert_eq!(text(&mut socket).await, r#"{"type":"echo","payload":1}"#);
    wait_for(&owner.server, |it| it.queued == 0);
    drop(socket);
    owner.next_of(CLOSED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_when_a_connection_ends_counts_as_dropped() {
    let mut owner = Owner::start(Config {
        max_backpressure: 64 * 1024 * 1024,
        ..config()
    });
    let (socket, handle) = owner.client().await;
    let chunk = chunk();
    for _ in 0..400 {
        owner.submit(|it| {
            it.to(ECHO, Some(chunk.as_bytes()), &[handle]);
        });
    }
    wait_for(&owner.server, |it| it.sent == 400);
    assert!(owner.server.metrics().queued > 0);
    drop(socket);
    owner.next_of(CLOSED);
    wait_for(&owner.server, |it| it.queued == 0);
    let metrics = owner.server.metrics();
    assert_eq!(metrics.sent, metrics.written + metrics.dropped);
    assert!(metrics.dropped > 0);
}
