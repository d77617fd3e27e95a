//! Admission, refusal, heartbeats, stopping.

mod support;

use std::{
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use support::{CLOSED, ECHO, FAULT, Owner, UPGRADE, closed, config, text, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::{
    MaybeTlsStream, connect_async,
    tungstenite::{Error, Message},
};
use zocket::{Config, Echo, EventSink, Routes, Server, StopMode};

async fn refused(url: String) -> (u16, String) {
    match connect_async(url).await {
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_its_status_and_body_and_no_end_is_told() {
    let mut owner = Owner::start(config());
    let connecting = tokio::spawn(refused(owner.url()));
    let upgrade = owner.next();
    assert_eq!(upgrade.code, UPGRADE);
    owner.submit(|it| {
        it.refuse(upgrade.handle, 403, 1, None, b"[1]");
    });
    assert_eq!(
        connecting.await.unwrap(),
        (403, r#"{"error":"Invalid headers","details":[1]}"#.into())
    );
    assert_eq!(owner.server.metrics().refused[1], 1);
    assert_eq!(owner.next_within(Duration::from_millis(50)), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_its_admission_ends_unopened() {
    let mut owner = Owner::start(config());
    let connecting = tokio::spawn(connect_async(owner.url()));
    let upgrade = owner.next();
    connecting.abort();
    let _ = connecting.await;
    let end = owner.next();
    assert_eq!(
        (end.handle, end.code, end.value),
        (upgrade.handle, CLOSED, json!(2))
    );
    // Too late, and harmless.
    owner.submit(|it| {
        it.admit(upgrade.handle)
            .to(ECHO, None, &[upgrade.handle])
            .release(upgrade.handle);
    });
    wait_for(&owner.server, |it| it.sent == 1 && it.dropped == 1);
    assert_eq!(owner.server.opened(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admission_that_does_not_come_ends_with_503() {
    let mut owner = Owner::start(Config {
        handshake_timeout: Duration::from_millis(100),
        ..config()
    });
    let connecting = tokio::spawn(refused(owner.url()));
    assert_eq!(owner.next().code, UPGRADE);
    let end = owner.next();
    assert_eq!((end.code, end.value), (CLOSED, json!(1)));
    assert_eq!(connecting.await.unwrap().0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_ends_with_408() {
    let owner = Owner::start(Config {
        handshake_timeout: Duration::from_millis(100),
        ..config()
    });
    let mut stream = tokio::net::TcpStream::connect(owner.server.address())
        .await
        .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_limit_of_connections_upgrades_get_503_until_one_leaves() {
    let mut owner = Owner::start(Config {
        max_connections: Some(2),
        ..config()
    });
    let (first, handle) = owner.client().await;
    let pending = tokio::spawn(connect_async(owner.url()));
    owner.next();
    assert_eq!(refused(owner.url()).await.0, 503);
    drop(first);
    assert_eq!(owner.next_of(CLOSED).handle, handle);
    owner.client().await;
    pending.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_pinged_and_one_that_never_answers_is_ended() {
    let interval = Some(Duration::from_millis(60));
    let mut owner = Owner::start(Config {
        heartbeat_interval: interval,
        ..config()
    });
    let (mut alive, _) = owner.client().await;
    let (_silent, silent) = owner.client().await;
    let reading = tokio::spawn(async move {
        let mut pings = 0;
        while pings < 5 {
            // Reading is what answers a ping.
            pings += usize::from(matches!(alive.next().await, Some(Ok(Message::Ping(_)))));
            alive.flush().await.unwrap();
        }
        alive
    });
    let end = owner.next();
    assert_eq!((end.handle, end.code), (silent, CLOSED));
    let alive = reading.await.unwrap();
    assert_eq!(owner.next_within(Duration::from_millis(10)), None);
    drop(alive);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_silence_of_a_client_that_is_not_read_does_not_end_it() {
    let interval = Some(Duration::from_millis(20));
    let mut owner = Owner::start(Config {
        heartbeat_interval: interval,
        ..config()
    });
    let (mut socket, handle) = owner.client().await;
    owner.submit(|it| {
        it.pause(handle);
    });
    assert_eq!(owner.next_within(Duration::from_millis(200)), None);
    owner.submit(|it| {
        it.resume(handle).to(ECHO, None, &[handle]);
    });
    assert_eq!(text(&mut socket).await, r#"{"type":"echo"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_client_that_is_not_read_is_noticed() {
    for (heartbeat_interval, resets) in [(None, true), (Some(Duration::from_millis(20)), false)] {
        let mut owner = Owner::start(Config {
            heartbeat_interval,
            ..config()
        });
        let (mut socket, handle) = owner.client().await;
        owner.submit(|it| {
            it.pause(handle).to(ECHO, None, &[handle]);
        });
        text(&mut socket).await;
        // What is not read hides the end that stands behind it.
        let message = Message::text(r#"{"type":"echo"}"#);
        socket.send(message).await.unwrap();
        if let (true, MaybeTlsStream::Plain(stream)) = (resets, socket.get_ref()) {
            stream.set_zero_linger().unwrap();
        }
        drop(socket);
        let end = owner.next();
        assert_eq!((end.handle, end.code), (handle, CLOSED));
        owner.stop(StopMode::Close);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_noticed_while_nobody_is_read() {
    let mut owner = Owner::start(Config {
        heartbeat_interval: None,
        ..config()
    });
    let (mut busy, first) = owner.client().await;
    let (quiet, second) = owner.client().await;
    owner.server.hold(true);
    let message = Message::text(r#"{"type":"echo"}"#);
    busy.send(message).await.unwrap();
    let mut gone = Vec::new();
    for socket in [busy, quiet] {
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_zero_linger().unwrap();
        }
        drop(socket);
        let end = owner.next();
        assert_eq!(end.code, CLOSED);
        gone.push(end.handle);
    }
    assert_eq!(gone, [first, second]);
    owner.stop(StopMode::Close);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_ends_a_connection_and_what_waits_for_it() {
    let mut owner = Owner::start(Config {
        max_backpressure: 64 * 1024 * 1024,
        ..config()
    });
    let (socket, handle) = owner.client().await;
    let chunk = format!("\"{}\"", "x".repeat(64 * 1024));
    let mut sent = 0;
    // More than the system takes, so that something waits.
    while owner.server.metrics().queued < 2 {
        owner.submit(|it| {
            it.to(ECHO, Some(chunk.as_bytes()), &[handle]);
        });
        sent += 1;
        wait_for(&owner.server, |it| it.sent == sent);
    }
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream.set_zero_linger().unwrap();
    }
    drop(socket);
    let end = owner.next();
    assert_eq!((end.handle, end.code), (handle, CLOSED));
    wait_for(&owner.server, |it| it.queued == 0 && it.dropped > 0);
    let told = owner.stop(StopMode::Close);
    assert!(told.iter().all(|it| it.code != FAULT), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_of_a_quiet_connection_leaves_nothing_for_stop_to_wait_for() {
    let mut owner = Owner::start(config());
    let (socket, handle) = owner.client().await;
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream.set_zero_linger().unwrap();
    }
    drop(socket);
    let end = owner.next();
    assert_eq!((end.handle, end.code), (handle, CLOSED));
    let told = owner.stop(StopMode::Close);
    assert!(told.iter().all(|it| it.code != FAULT), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_sends_what_is_queued_closes_with_1001_and_frees_the_port() {
    let mut owner = Owner::start(Config {
        io_threads: 2,
        ..config()
    });
    let address = owner.server.address();
    let (mut a, first) = owner.client().await;
    let (mut b, _) = owner.client().await;
    let pending = tokio::spawn(refused(owner.url()));
    owner.next();
    owner.submit(|it| {
        for _ in 0..100 {
            it.broadcast(ECHO, Some(b"1"));
        }
        it.to(ECHO, Some(b"2"), &[first]);
    });
    let reading = tokio::spawn(async move {
        for socket in [&mut a, &mut b] {
            for _ in 0..100 {
                assert_eq!(text(socket).await, r#"{"type":"echo","payload":1}"#);
            }
        }
        assert_eq!(text(&mut a).await, r#"{"type":"echo","payload":2}"#);
        for socket in [&mut a, &mut b] {
            assert_eq!(closed(socket).await, Some(1001));
        }
    });
    let events = owner.stop(StopMode::Close);
    assert_eq!(
        events.iter().filter(|event| event.code == CLOSED).count(),
        3
    );
    reading.await.unwrap();
    assert_eq!(pending.await.unwrap().0, 503);
    std::net::TcpListener::bind(address).unwrap();
    // Harmless afterwards.
    owner.submit(|it| {
        it.broadcast(ECHO, None);
    });
    owner.server.stop(StopMode::Terminate);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_cuts_off_who_does_not_answer_the_close() {
    let mut owner = Owner::start(Config {
        close_timeout: Duration::from_millis(100),
        ..config()
    });
    let (_never_reads, handle) = owner.client().await;
    let events = owner.stop(StopMode::Close);
    assert_eq!(
        (events[0].code, &events[0].value["code"]),
        (FAULT, &json!("STOP"))
    );
    assert_eq!((events[1].handle, events[1].code), (handle, CLOSED));
}

#[tokio::test(flavor = "multi_thread")]
async fn terminate_cuts_off_at_once_also_after_a_milder_stop() {
    let mut owner = Owner::start(Config {
        close_timeout: Duration::from_secs(3600),
        ..config()
    });
    let (mut socket, _) = owner.client().await;
    owner.server.stop(StopMode::Close);
    assert_eq!(owner.next_within(Duration::from_millis(50)), None);
    owner.stop(StopMode::Terminate);
    // The close frame of the first stop may still have come through.
    let code = closed(&mut socket).await;
    assert!(matches!(code, None | Some(1001)), "{code:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_can_close_one_client() {
    let mut owner = Owner::start(config());
    let (mut socket, handle) = owner.client().await;
    owner.submit(|it| {
        it.to(ECHO, None, &[handle])
            .close(handle, 4001, b"")
            .to(ECHO, None, &[handle]);
    });
    assert_eq!(text(&mut socket).await, r#"{"type":"echo"}"#);
    assert_eq!(closed(&mut socket).await, Some(4001));
    assert_eq!(owner.next_of(CLOSED).value, json!([1, 4001, ""]));
}

/// Panics on the message "boom".
struct Fragile;

impl zocket::Protocol for Fragile {
    fn admission(&self) -> zocket::message::protocol::Admission {
        zocket::message::protocol::Admission::Owner
    }

    fn message(
        &self,
        message: zocket::message::protocol::Message,
        exchange: &mut dyn zocket::message::protocol::Exchange,
    ) {
        match message {
            zocket::message::protocol::Message::Text(text) if text == "boom" => {
                panic!("boom")
            }
            _ => exchange.hand_over(0, None, None),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_connection_and_is_told() {
    let mut owner = Owner::start_with(config(), Fragile);
    let (mut broken, handle) = owner.client().await;
    let (mut other, _) = owner.client().await;
    broken.send(Message::text("boom")).await.unwrap();
    let fault = owner.next_of(FAULT);
    assert_eq!(fault.value["code"], json!("INTERNAL"));
    let end = owner.next();
    assert_eq!((end.handle, end.code), (handle, CLOSED));
    assert_eq!(closed(&mut broken).await, None);
    other.send(Message::text("fine")).await.unwrap();
    assert_eq!(owner.next().code, 1);
    owner.stop(StopMode::Terminate);
}

/// Counts how often it is told that a crowd has left.
struct Thinned(Arc<AtomicUsize>);

impl EventSink for Thinned {
    fn ring(&self) {}

    fn thinned(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_owner_is_told_when_a_crowd_has_left_and_not_when_one_of_it_has() {
    let told = Arc::new(AtomicUsize::new(0));
    let routes = Arc::new(Routes::new(vec![], vec![]));
    let server = Server::bind(config(), routes, Echo, Thinned(told.clone())).unwrap();
    let connect = || std::net::TcpStream::connect(server.address()).unwrap();
    let mut crowd: Vec<_> = (0..8).map(|_| connect()).collect();
    // Who is answered has come after them.
    let refused = |mut stream: &std::net::TcpStream| {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    };
    refused(&crowd.remove(0));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(told.load(Ordering::Relaxed), 0);
    drop(crowd);
    let deadline = Instant::now() + support::DEADLINE;
    while told.load(Ordering::Relaxed) < 2 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    server.stop(StopMode::Terminate);
    server.join();
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_begin_anew_when_nobody_is_left() {
    let mut owner = Owner::start(config());
    for _ in 0..2 {
        let mut crowd = Vec::new();
        for number in 0..50 {
            let (socket, handle) = owner.client().await;
            assert_eq!(handle.0, number);
            crowd.push((socket, handle));
        }
        let last = crowd.pop();
        for (socket, handle) in crowd {
            drop(socket);
            owner.next_of(CLOSED);
            owner.submit(|it| {
                it.release(handle);
            });
        }
        // One is left, and keeps its number.
        let (socket, handle) = owner.client().await;
        assert_eq!(handle.0, 48);
        for (socket, handle) in last.into_iter().chain([(socket, handle)]) {
            drop(socket);
            owner.next_of(CLOSED);
            owner.submit(|it| {
                it.release(handle);
            });
        }
    }
}
