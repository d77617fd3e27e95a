//! Clients that do not read: bounded, counted, and no trouble to others.

mod support;

use std::sync::{
    Mutex,
    mpsc::{Receiver, channel},
};

use serde_json::json;
use support::{
    CLOSED, ECHO, FAULT, Owner, UPGRADE, config,
    raw::{Raw, frame},
    text, wait_for,
};
use zocket::{
    Config, Protocol, SlowClient,
    message::protocol::{Admission, Exchange, Message},
};

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

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_of_a_slow_client_after_its_end() {
    let mut owner = Owner::start(Config {
        max_backpressure: 0,
        ..config()
    });
    let (mut slow, _) = Raw::open(&mut owner).await;
    // An answer each, until the system's buffers are full: then one answer is the last straw.
    let flood = frame(0x81, b"[").repeat(200_000);
    let sending = tokio::spawn(async move { slow.send(&flood).await });
    owner.next_of(CLOSED);
    sending.await.unwrap();
    let mut other = Raw::connect(&owner).await;
    other.send(support::raw::UPGRADE).await;
    assert_eq!(owner.next().code, UPGRADE);
}

/// Answers a message three times, as soon as the test lets it.
struct Late(Mutex<Receiver<()>>);

impl Protocol for Late {
    fn admission(&self) -> Admission {
        Admission::Owner
    }

    fn message(&self, _: Message, exchange: &mut dyn Exchange) {
        exchange.count();
        self.0.lock().unwrap().recv().unwrap();
        for _ in 0..3 {
            exchange.reply(&mut |out| {
                out.extend_from_slice(b"\x81\x01x");
                3
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_gone_is_not_a_slow_one() {
    let (now, wait) = channel();
    let config = Config {
        max_backpressure: 0,
        ..config()
    };
    let mut owner = Owner::start_with(config, Late(Mutex::new(wait)));
    let (mut raw, handle) = Raw::open(&mut owner).await;
    raw.send(&frame(0x81, b"")).await;
    wait_for(&owner.server, |it| it.received == 1);
    raw.stream.set_zero_linger().unwrap();
    drop(raw);
    now.send(()).unwrap();
    let told = owner.next();
    assert_eq!((told.handle, told.code), (handle, CLOSED), "{told:?}");
    let metrics = owner.server.metrics();
    assert_eq!((metrics.sent, metrics.dropped), (3, 3));
}
