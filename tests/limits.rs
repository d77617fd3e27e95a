//! Limits that are off by default: rates, connections by address; and the drain.

mod support;

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::{
    BAD, CLOSED, DEADLINE, ECHO, FAULT, Owner, STOPPED, Socket, closed, config, raw, text, wait_for,
};
use tokio::time::timeout;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message},
};
use zocket::message::error::BadCode;
use zocket::{Config, Reason, StopMode};

/// Another address of this machine. All of 127.0.0.0/8 is, on Linux.
#[cfg(target_os = "linux")]
const OTHER: [u8; 4] = [127, 0, 0, 2];

/// What is refused: the status and the `Retry-After`.
async fn refused(url: String) -> (u16, Option<String>) {
    match connect_async(url).await {
        Err(Error::Http(response)) => {
            let after = response.headers().get("retry-after");
            let after = after.map(|it| it.to_str().unwrap().to_owned());
            (response.status().as_u16(), after)
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// The code and the reason of the close frame, whatever else comes before it.
async fn close_frame(socket: &mut Socket) -> (u16, String) {
    loop {
        let next = timeout(DEADLINE, socket.next()).await.expect("in time");
        if let Message::Close(frame) = next.expect("a close frame").expect("sound") {
            let frame = frame.expect("a code");
            return (frame.code.into(), frame.reason.to_string());
        }
    }
}

/// The milliseconds in a hint.
fn hint(reason: &str) -> u64 {
    let digits = reason.strip_prefix("reconnect-after=").expect(reason);
    digits.parse().expect(reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_past_the_rate_is_answered_and_goes_no_further() {
    let mut owner = Owner::start(Config {
        // Slow enough that no test machine is late for it.
        max_messages_per_second: Some(0.001),
        ..config()
    });
    let (mut socket, handle) = owner.client().await;
    let (mut other, _) = owner.client().await;
    for message in [
        r#"{"type":"echo"}"#,
        r#"{"type":"echo"}"#,
        r#"{"type":"nowhere"}"#,
        "no JSON",
    ] {
        socket.send(Message::text(message)).await.unwrap();
    }
    let long = format!(r#"{{"type":"echo","payload":"{}"}}"#, "x".repeat(5000));
    socket.send(Message::text(long)).await.unwrap();
    assert_eq!(owner.next_of(1).handle, handle);
    let told = owner.next();
    for (at, route) in [Some("echo"), None, None, None].into_iter().enumerate() {
        let reply: Value = serde_json::from_str(&text(&mut socket).await).unwrap();
        if at == 0 {
            assert_eq!((told.handle, told.code), (handle, BAD));
            assert_eq!(reply, json!({ "type": "$error", "payload": told.value }));
        }
        assert_eq!(reply["type"], "$error");
        let payload = &reply["payload"];
        assert_eq!(payload["code"], "RATE_LIMITED");
        assert_eq!(payload.get("route").and_then(Value::as_str), route);
        let wait = payload["retryAfterMs"].as_u64().unwrap();
        assert!((1..=1_000_000).contains(&wait), "{wait}");
    }
    // The first is told at once, the others of that second as a count.
    let rest = owner.next();
    assert_eq!((rest.handle, rest.code), (handle, BAD));
    assert_eq!(
        (&rest.value["code"], &rest.value["count"]),
        (&json!("RATE_LIMITED"), &json!(3))
    );
    // Each client has a bucket of its own.
    other
        .send(Message::text(r#"{"type":"echo"}"#))
        .await
        .unwrap();
    assert_eq!(owner.next().code, 1);
    let metrics = owner.server.metrics();
    assert_eq!(metrics.received, 6);
    let mut bad = [0; BadCode::ALL.len()];
    bad[BadCode::RateLimited as usize] = 4;
    assert_eq!(metrics.bad, bad);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn who_resets_the_connection_before_its_turn_counts_at_its_address_too() {
    let mut owner = Owner::start(Config {
        max_connections_per_address: Some(1),
        max_pending_handshakes: Some(1),
        ..config()
    });
    let (_open, _) = owner.client().await;
    // While an undecided request of somebody else takes the only turn there is, another one comes and is gone again.
    let mut undecided = raw::Raw::connect_from(OTHER, &owner).await;
    undecided.send(raw::UPGRADE).await;
    owner.next_of(support::UPGRADE);
    let mut gone = raw::Raw::connect(&owner).await;
    gone.send(raw::UPGRADE).await;
    gone.stream.set_zero_linger().unwrap();
    drop((gone, undecided));
    // Who comes now has its turn after both.
    let url = owner.url();
    assert_eq!(refused(url).await, (429, None));
    assert_eq!(owner.next().code, CLOSED);
    assert!(owner.next_within(Duration::ZERO).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_limit_of_an_address_upgrades_get_429_until_one_leaves() {
    let mut owner = Owner::start(Config {
        hostname: None,
        io_threads: 2,
        max_connections_per_address: Some(2),
        ..config()
    });
    let port = owner.server.address().port();
    let url = |host: &str| format!("ws://{host}:{port}");
    let connect = |url: String| tokio::spawn(async move { connect_async(url).await.unwrap().0 });

    // One open, one pending, on shards of their own; by IPv4 they come as IPv6 where both are listened on.
    let first = connect(url("127.0.0.1"));
    let handle = owner.admit();
    let first = first.await.unwrap();
    let pending = connect(url("127.0.0.1"));
    owner.next_of(support::UPGRADE);
    assert_eq!(refused(url("127.0.0.1")).await, (429, None));
    let mut others = Vec::new();
    if std::net::TcpStream::connect(("::1", port)).is_ok() {
        let other = connect(url("[::1]"));
        owner.admit();
        others.push(other.await.unwrap());
    }
    drop(first);
    assert_eq!(owner.next_of(CLOSED).handle, handle);
    let again = connect(url("127.0.0.1"));
    owner.admit();
    again.await.unwrap();
    assert_eq!(owner.server.metrics().refused[Reason::Address as usize], 1);
    pending.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_rate_upgrades_get_503_before_the_owner_hears_of_them() {
    let mut owner = Owner::start(Config {
        max_upgrades_per_second: Some(0.001),
        ..config()
    });
    owner.client().await;
    for _ in 0..3 {
        assert_eq!(refused(owner.url()).await, (503, Some("1".into())));
    }
    let refused = owner.server.metrics().refused;
    assert_eq!(refused[Reason::UpgradeRate as usize], 3);
    assert_eq!(refused.iter().sum::<u64>(), 3);
    // The client of the first line has been dropped since; nobody else was told of.
    assert_eq!(owner.next().code, CLOSED);
    assert_eq!(owner.next_within(Duration::from_millis(20)), None);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn past_its_rate_an_address_gets_429_and_drains_nothing_of_the_servers_rate() {
    let mut owner = Owner::start(Config {
        max_upgrades_per_second: Some(2.0),
        max_upgrades_per_second_per_address: Some(0.001),
        io_threads: 2,
        ..config()
    });
    let (_first, _) = owner.client().await;
    for _ in 0..20 {
        let (status, after) = refused(owner.url()).await;
        let after: u64 = after.unwrap().parse().unwrap();
        assert!(status == 429 && (900..=1000).contains(&after), "{after}");
    }
    // One a second is left for the rest.
    let mut other = raw::Raw::connect_from(OTHER, &owner).await;
    other.send(raw::UPGRADE).await;
    owner.admit();
    assert!(other.head().await.starts_with("HTTP/1.1 101 "));
    let refused = owner.server.metrics().refused;
    assert_eq!(refused[Reason::AddressRate as usize], 20);
    assert_eq!(refused.iter().sum::<u64>(), 20);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_servers_rate_refuses_takes_nothing_from_that_of_the_address() {
    let mut owner = Owner::start(Config {
        max_upgrades_per_second: Some(0.001),
        max_upgrades_per_second_per_address: Some(0.001),
        ..config()
    });
    let (_first, _) = owner.client().await;
    // Had the first refusal taken the address's only one, the next would be 429.
    for _ in 0..5 {
        let mut other = raw::Raw::connect_from(OTHER, &owner).await;
        other.send(raw::UPGRADE).await;
        assert!(other.head().await.starts_with("HTTP/1.1 503 "));
    }
    let refused = owner.server.metrics().refused;
    assert_eq!(refused[Reason::UpgradeRate as usize], 5);
    assert_eq!(refused[Reason::AddressRate as usize], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_limit_refuses_takes_nothing_from_the_rate() {
    let mut owner = Owner::start(Config {
        max_upgrades_per_second: Some(2.0),
        max_connections: Some(1),
        ..config()
    });
    let (first, _) = owner.client().await;
    for _ in 0..20 {
        assert_eq!(refused(owner.url()).await, (503, None));
    }
    drop(first);
    owner.next_of(CLOSED);
    owner.client().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_closes_one_after_the_other_while_the_others_go_on() {
    let mut owner = Owner::start(Config {
        io_threads: 2,
        ..config()
    });
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(owner.client().await);
    }
    let over = Duration::from_secs(20);
    let started = Instant::now();
    owner.server.stop(StopMode::Drain(over));
    let (mut last, handle) = sockets.pop().unwrap();
    // Dealt round, and the shards take turns: they are closed as they came.
    for (turn, (mut socket, _)) in (1..=3).zip(sockets) {
        let (code, reason) = close_frame(&mut socket).await;
        assert_eq!(code, 1001);
        assert!(hint(&reason) <= 20_000, "{reason}");
        // Never before its turn; how long after it is the machine's affair.
        assert!(started.elapsed() >= over * turn / 100, "turn {turn}");

        assert_eq!(refused(owner.url()).await.0, 503);
        owner.submit(|it| {
            it.to(ECHO, Some(b"1"), &[handle]);
        });
        assert!(text(&mut last).await.contains("\"payload\":1"));
        last.send(Message::text(r#"{"type":"echo"}"#))
            .await
            .unwrap();
        owner.next_of(1);
    }
    owner.stop(StopMode::Terminate);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_hints_to_everybody_and_stops_by_itself() {
    let mut owner = Owner::start(Config {
        io_threads: 2,
        ..config()
    });
    let mut clients = Vec::new();
    for _ in 0..5 {
        let (mut socket, _) = owner.client().await;
        clients.push(tokio::spawn(async move {
            let frame = close_frame(&mut socket).await;
            closed(&mut socket).await;
            frame
        }));
    }
    owner
        .server
        .stop(StopMode::Drain(Duration::from_millis(100)));
    for client in clients {
        let (code, reason) = client.await.unwrap();
        assert_eq!(code, 1001);
        assert!(hint(&reason) <= 100, "{reason}");
    }
    let mut stopped = 0;
    while stopped < 2 {
        let event = owner.next();
        assert_ne!(event.code, FAULT);
        stopped += u32::from(event.code == STOPPED);
    }
    owner.server.join();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_over_when_nobody_is_left() {
    for shards in [1, 2] {
        let mut owner = Owner::start(Config {
            io_threads: shards,
            ..config()
        });
        let (socket, _) = owner.client().await;
        let (other, _) = owner.client().await;
        owner
            .server
            .stop(StopMode::Drain(Duration::from_secs(3600)));
        assert_eq!(refused(owner.url()).await.0, 503);
        drop((socket, other));
        for _ in 0..shards {
            owner.next_of(STOPPED);
        }
        owner.server.join();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_are_refused_alike_for_as_long_as_any_shard_drains() {
    for kept in [0, 1] {
        let mut owner = Owner::start(Config {
            io_threads: 2,
            ..config()
        });
        // Dealt round, so each on a shard of its own.
        let mut sockets = vec![owner.client().await.0, owner.client().await.0];
        let socket = sockets.swap_remove(kept);
        drop(sockets);
        owner.next_of(CLOSED);
        owner
            .server
            .stop(StopMode::Drain(Duration::from_secs(3600)));
        if kept == 0 {
            assert_eq!(owner.next_of(STOPPED).handle.0, 1);
        }
        for _ in 0..4 {
            assert_eq!(refused(owner.url()).await.0, 503);
        }
        assert_eq!(owner.server.metrics().refused[Reason::Stop as usize], 4);
        drop(socket);
        for _ in 0..=kept {
            owner.next_of(STOPPED);
        }
        owner.server.join();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_refuses_pending_upgrades() {
    let mut owner = Owner::start(config());
    let pending = tokio::spawn(refused(owner.url()));
    owner.next_of(support::UPGRADE);
    owner
        .server
        .stop(StopMode::Drain(Duration::from_secs(3600)));
    assert_eq!(pending.await.unwrap().0, 503);
    owner.next_of(STOPPED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_a_drain_closes_all_now_and_a_second_drain_changes_nothing() {
    let mut owner = Owner::start(config());
    let (mut socket, _) = owner.client().await;
    owner
        .server
        .stop(StopMode::Drain(Duration::from_secs(3600)));
    owner.server.stop(StopMode::Drain(Duration::from_millis(1)));
    assert_eq!(refused(owner.url()).await.0, 503);
    socket
        .send(Message::text(r#"{"type":"echo"}"#))
        .await
        .unwrap();
    owner.next_of(1);
    let reader = tokio::spawn(async move {
        let frame = close_frame(&mut socket).await;
        closed(&mut socket).await;
        frame
    });
    owner.stop(StopMode::Close);
    assert_eq!(reader.await.unwrap(), (1001, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn terminating_during_a_drain_cuts_off_at_once() {
    let mut owner = Owner::start(config());
    let (mut socket, _) = owner.client().await;
    owner
        .server
        .stop(StopMode::Drain(Duration::from_secs(3600)));
    wait_for(&owner.server, |it| it.accepted == 1);
    owner.stop(StopMode::Terminate);
    assert_eq!(closed(&mut socket).await, None);
    // Milder than what has happened.
    owner.server.stop(StopMode::Drain(Duration::from_secs(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_a_drains_close_frame_is_cut_off_when_it_is_over() {
    let mut owner = Owner::start(Config {
        close_timeout: Duration::from_millis(50),
        ..config()
    });
    // Not read, so its close frame is not answered.
    let (_mute, _) = owner.client().await;
    owner.server.stop(StopMode::Drain(Duration::from_millis(1)));
    assert_eq!(owner.next_of(FAULT).value["code"], "STOP");
    owner.next_of(STOPPED);
    owner.server.join();
}
