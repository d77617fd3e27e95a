//! Clients that offer `zocket.1`: what the engine says to them by itself, and what that costs others.

mod support;

use std::time::Duration;

use support::{
    BAD, CLOSED, Owner, UPGRADE as ASKED, config,
    raw::{Raw, UPGRADE, frame},
    wait_for,
};
use zocket::{AllowedOrigins, Config, Reason, Rules, StopMode};

const PING: &[u8] = br#"{"type":"$ping"}"#;
const PONG: &str = r#"{"type":"$pong"}"#;

/// A right upgrade request with lines added.
fn request(lines: &str) -> Vec<u8> {
    let request = String::from_utf8(UPGRADE.to_vec()).unwrap();
    request
        .replacen("host: x\r\n", &format!("host: x\r\n{lines}"), 1)
        .into_bytes()
}

fn zocket() -> Vec<u8> {
    request("sec-websocket-protocol: zocket.1\r\n")
}

/// A client that is open, and has read its welcome.
async fn welcomed(owner: &mut Owner) -> (Raw, zocket::Handle) {
    let (mut raw, handle, head) = Raw::open_with(owner, &zocket()).await;
    assert!(head.contains("\r\nSec-WebSocket-Protocol: zocket.1\r\n"));
    let welcome = text(&mut raw).await;
    assert!(welcome.starts_with(r#"{"type":"$welcome","payload":{"clientId":""#));
    (raw, handle)
}

async fn text(raw: &mut Raw) -> String {
    let frame = raw.next().await.expect("a frame");
    assert_eq!(frame.first, 0x81);
    String::from_utf8(frame.payload).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_answered_while_the_owner_sleeps_and_counts_as_nothing() {
    let mut owner = Owner::start(config());
    let (mut raw, _) = welcomed(&mut owner).await;
    for ping in [
        PING,
        br#" { "payload" : [1], "type" : "\u0024ping" } "#,
        br#"{"type":"$ping","payload":null}"#,
    ] {
        for first in [0x81, 0x82] {
            raw.send(&frame(first, ping)).await;
            assert_eq!(text(&mut raw).await, PONG);
        }
    }
    let metrics = owner.server.metrics();
    assert_eq!(
        (
            metrics.received,
            metrics.sent,
            metrics.written,
            metrics.queued
        ),
        (0, 0, 0, 0)
    );
    assert_eq!(owner.next_within(Duration::from_millis(50)), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_of_another_client_is_for_no_route() {
    let mut owner = Owner::start(config());
    let (mut raw, handle) = Raw::open(&mut owner).await;
    raw.send(&frame(0x81, PING)).await;
    assert!(text(&mut raw).await.contains(r#""code":"NO_ROUTE""#));
    let told = owner.next();
    assert_eq!((told.handle, told.code), (handle, BAD));
    let metrics = owner.server.metrics();
    assert_eq!((metrics.received, metrics.sent), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_take_nothing_from_the_rate_and_are_answered_past_it() {
    let mut owner = Owner::start(Config {
        // Slow enough that no test machine is late for it.
        max_messages_per_second: Some(0.001),
        ..config()
    });
    let (mut raw, handle) = welcomed(&mut owner).await;
    for _ in 0..3 {
        raw.send(&frame(0x81, PING)).await;
        assert_eq!(text(&mut raw).await, PONG);
    }
    raw.send(&frame(0x81, br#"{"type":"echo"}"#)).await;
    assert_eq!(owner.next_of(1).handle, handle);
    raw.send(&frame(0x81, br#"{"type":"echo"}"#)).await;
    assert!(text(&mut raw).await.contains("RATE_LIMITED"));
    raw.send(&frame(0x81, PING)).await;
    assert_eq!(text(&mut raw).await, PONG);
    assert_eq!(owner.server.metrics().received, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_pong_waits_no_second_is_made() {
    const SENT: u64 = 200;
    let mut owner = Owner::start(Config {
        max_backpressure: 1 << 30,
        ..config()
    });
    let (mut raw, handle) = welcomed(&mut owner).await;
    let payload = format!("\"{}\"", "x".repeat(100_000));
    for _ in 0..SENT {
        owner.submit(|it| {
            it.broadcast(0, Some(payload.as_bytes()));
        });
    }
    // More than any socket takes.
    wait_for(&owner.server, |it| it.sent == SENT && it.queued > 0);
    for _ in 0..1000 {
        raw.send(&frame(0x81, PING)).await;
    }
    raw.send(&frame(0x81, br#"{"type":"echo"}"#)).await;
    assert_eq!(owner.next_of(1).handle, handle);
    for _ in 0..SENT {
        assert!(text(&mut raw).await.starts_with(r#"{"type":"echo""#));
    }
    assert_eq!(text(&mut raw).await, PONG);
    // The next one is answered again, and was the only one that waited.
    raw.send(&frame(0x81, PING)).await;
    assert_eq!(text(&mut raw).await, PONG);
    owner.submit(|it| {
        it.broadcast(0, None);
    });
    assert_eq!(text(&mut raw).await, r#"{"type":"echo"}"#);
    wait_for(&owner.server, |it| it.written == SENT + 1);
    let metrics = owner.server.metrics();
    assert_eq!(
        (metrics.sent, metrics.queued, metrics.dropped),
        (SENT + 1, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_read_hears_a_pong_with_each_ping() {
    let mut owner = Owner::start(Config {
        heartbeat_interval: Some(Duration::from_millis(100)),
        ..config()
    });
    let (mut raw, handle) = welcomed(&mut owner).await;
    let (mut other, second) = Raw::open(&mut owner).await;
    owner.submit(|it| {
        it.pause(handle).pause(second);
    });
    for _ in 0..3 {
        assert_eq!(raw.next().await.unwrap().first, 0x89);
        assert_eq!(text(&mut raw).await, PONG);
        assert_eq!(other.next().await.unwrap().first, 0x89);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_a_close_frame() {
    let mut owner = Owner::start(config());
    let (mut raw, handle) = welcomed(&mut owner).await;
    owner.submit(|it| {
        it.close(handle, 1000, b"");
    });
    assert_eq!(raw.next().await.unwrap().first, 0x88);
    raw.send(&frame(0x81, PING)).await;
    raw.send(&frame(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!(raw.rest().await, b"");
    assert_eq!(owner.next_of(CLOSED).handle, handle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_pings_does_not_keep_others_from_their_turn() {
    let mut owner = Owner::start(config());
    let (mut flood, _) = welcomed(&mut owner).await;
    let (mut other, _) = welcomed(&mut owner).await;
    let pings = frame(0x81, PING).repeat(1 << 17);
    let flooding = tokio::spawn(async move {
        flood.send(&pings).await;
        flood
    });
    for _ in 0..20 {
        other.send(&frame(0x81, PING)).await;
        assert_eq!(text(&mut other).await, PONG);
    }
    flooding.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_clients_that_stay_are_dropped_for_others() {
    const PLACES: usize = 64;
    let mut owner = Owner::start(Config {
        max_pending_handshakes: Some(PLACES),
        ..config()
    });
    let mut refused = Vec::new();
    for _ in 0..PLACES {
        let mut raw = Raw::connect(&owner).await;
        raw.send(&zocket()).await;
        let handle = owner.next_of(ASKED).handle;
        owner.submit(|it| {
            it.refuse(handle, 401, Reason::Connect as u32, Some(5), b"");
        });
        assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
        assert_eq!(
            text(&mut raw).await,
            r#"{"type":"$refused","payload":{"status":401,"code":"CONNECT","retryAfterMs":5}}"#
        );
        let close = raw.next().await.unwrap();
        assert_eq!(
            (close.first, &close.payload[..2]),
            (0x88, &[0x11, 0x31][..])
        );
        refused.push(raw);
    }
    for _ in 0..PLACES / 4 {
        welcomed(&mut owner).await;
    }
    let metrics = owner.server.metrics();
    assert_eq!(metrics.refused[Reason::Connect as usize], PLACES as u64);
    assert_eq!(metrics.accepted, PLACES as u64 / 4);
    assert_eq!((metrics.sent, metrics.written), (0, 0));
}

/// Why each request is refused, by the metrics.
async fn reason(owner: &Owner, request: &[u8]) -> &'static str {
    let before = owner.server.metrics().refused;
    let mut raw = Raw::connect(owner).await;
    raw.send(request).await;
    raw.rest().await;
    let after = owner.server.metrics().refused;
    let changed = (0..after.len()).find(|at| after[*at] != before[*at]);
    Reason::ALL[changed.expect("it was refused")].name()
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_decided_in_a_fixed_order() {
    let rules = || Rules {
        path: Some("/ws".into()),
        origins: AllowedOrigins::List(vec![]),
        ..Rules::default()
    };
    let malformed = request("sec-websocket-protocol: zocket.h.e30\r\norigin: http://evil\r\n");
    let elsewhere = request("origin: http://evil\r\n");
    let at_path = |request: &[u8]| {
        let text = String::from_utf8(request.to_vec()).unwrap();
        text.replacen("GET / ", "GET /ws ", 1).into_bytes()
    };
    let mut owner = Owner::start(Config {
        max_connections: Some(1),
        rules: rules(),
        ..config()
    });
    assert_eq!(reason(&owner, &at_path(&elsewhere)).await, "ORIGIN");
    let (_raw, ..) = Raw::open_with(&mut owner, &at_path(&zocket())).await;
    assert_eq!(reason(&owner, &malformed).await, "MALFORMED");
    assert_eq!(reason(&owner, &elsewhere).await, "PATH");
    assert_eq!(
        reason(&owner, &at_path(&elsewhere)).await,
        "MAX_CONNECTIONS"
    );
    // While it drains it still listens, to refuse.
    owner
        .server
        .stop(StopMode::Drain(Duration::from_secs(3600)));
    for request in [&elsewhere, &at_path(&elsewhere), &at_path(&zocket())] {
        assert_eq!(reason(&owner, request).await, "STOP");
    }
    owner.stop(StopMode::Terminate);
}
