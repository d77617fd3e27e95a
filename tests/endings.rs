//! How connections end, and what their owner hears of it.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    CLOSED, ECHO, OPENED, Owner, Told, UPGRADE, closed, config, fill, patient,
    raw::{self, Raw, frame},
    text, wait_for,
};
use zocket::{Config, StopMode};

const CLIENT: u32 = 0;
const SERVER: u32 = 1;
const NETWORK: u32 = 2;
const SLOW: u32 = 3;
const STOP: u32 = 4;

/// A close frame of a client.
fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// A text message of a client.
fn message(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

fn end(owner: &mut Owner) -> Value {
    owner.next_of(CLOSED).value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_gives_the_code_and_the_reason() {
    let mut owner = Owner::start(config());
    let longest = "é".repeat(61);
    for (sent, expected) in [
        (close(1000, ""), json!([CLIENT, 1000, ""])),
        (close(4321, "\"bye\"\n"), json!([CLIENT, 4321, "\"bye\"\n"])),
        (close(3000, &longest), json!([CLIENT, 3000, longest])),
        (frame(0x88, b""), json!([CLIENT, 1005, ""])),
        (
            close(1002, "your fault"),
            json!([CLIENT, 1002, "your fault"]),
        ),
        // What a library for WebSocket says of a code that no client may send.
        (
            close(1002, "Protocol violation"),
            json!([CLIENT, 1002, "Protocol violation"]),
        ),
        (close(1012, ""), json!([CLIENT, 1012, ""])),
        (close(1013, "later"), json!([CLIENT, 1013, "later"])),
        (
            close(1014, "bad gateway"),
            json!([CLIENT, 1014, "bad gateway"]),
        ),
    ] {
        let (mut raw, _) = Raw::open(&mut owner).await;
        raw.send(&sent).await;
        assert_eq!(end(&mut owner), expected);
        let answer = raw.closed().await.0.map(u64::from);
        assert_eq!(answer, expected[1].as_u64(), "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_frame_may_come_in_pieces_in_the_middle_of_a_message() {
    let mut owner = Owner::start(config());
    let (mut raw, _) = Raw::open(&mut owner).await;
    raw.send(&frame(0x01, b"[\"a\"")).await;
    for byte in close(1014, "in pieces") {
        raw.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(end(&mut owner), json!([CLIENT, 1014, "in pieces"]));
    assert_eq!(raw.closed().await.0, Some(1014));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_the_protocol_is_closed_by_the_server() {
    let mut owner = Owner::start(config());
    for (sent, code) in [
        // Codes that no client may send, a reason that is no UTF-8, half a code.
        (close(1006, ""), 1002),
        (close(999, "x"), 1002),
        (frame(0x88, b"\x03\xe8\xff"), 1007),
        (frame(0x88, b"\x03"), 1002),
        (frame(0x81, b"\xff"), 1007),
        (frame(0xf1, b""), 1002),
    ] {
        let (mut raw, _) = Raw::open(&mut owner).await;
        raw.send(&sent).await;
        let end = end(&mut owner);
        assert_eq!(
            (&end[0], &end[1]),
            (&json!(SERVER), &json!(code)),
            "{sent:x?}"
        );
        assert_eq!(raw.closed().await.0, Some(code));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_close_frame_it_was_the_network() {
    let mut owner = Owner::start(Config {
        heartbeat_interval: Some(Duration::from_millis(200)),
        ..config()
    });
    let network = json!([NETWORK, 1006, ""]);
    let (raw, _) = Raw::open(&mut owner).await;
    drop(raw);
    assert_eq!(end(&mut owner), network);
    let (raw, _) = Raw::open(&mut owner).await;
    raw.stream.set_zero_linger().unwrap();
    drop(raw);
    assert_eq!(end(&mut owner), network);
    // Silence.
    let (_raw, _) = Raw::open(&mut owner).await;
    assert_eq!(end(&mut owner), network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_too_slowly_is_told_of_as_slow() {
    let mut owner = Owner::start(config());
    let (_raw, handle) = Raw::open(&mut owner).await;
    let chunk = format!("\"{}\"", "x".repeat(1024 * 1024));
    for _ in 0..64 {
        owner.submit(|it| {
            it.to(ECHO, Some(chunk.as_bytes()), &[handle]);
        });
    }
    assert_eq!(end(&mut owner), json!([SLOW, 1006, ""]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_how() {
    for (mode, code) in [
        (StopMode::Close, 1001),
        (StopMode::Drain(Duration::from_millis(1)), 1001),
        (StopMode::Terminate, 1006),
    ] {
        let mut owner = Owner::start(config());
        let (mut socket, _) = owner.client().await;
        owner.server.stop(mode);
        closed(&mut socket).await;
        let end = end(&mut owner);
        assert_eq!((&end[0], &end[1]), (&json!(STOP), &json!(code)));
        let has_hint = end[2].as_str().unwrap().starts_with("reconnect-after=");
        assert_eq!(has_hint, matches!(mode, StopMode::Drain(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_comes_to_nothing_has_no_code() {
    let mut owner = Owner::start(config());
    let raw = Raw::connect(&owner).await;
    let mut raw = raw;
    raw.send(raw::UPGRADE).await;
    owner.next_of(UPGRADE);
    drop(raw);
    assert_eq!(end(&mut owner), json!(NETWORK));
    let mut raw = Raw::connect(&owner).await;
    raw.send(raw::UPGRADE).await;
    owner.next_of(UPGRADE);
    owner.server.stop(StopMode::Close);
    assert_eq!(end(&mut owner), json!(STOP));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_comes_before_the_close_frame_and_nothing_after_it() {
    let mut owner = Owner::start(patient());
    let (mut raw, handle) = Raw::open(&mut owner).await;
    let sent = fill(&owner, handle);
    let reason = "x".repeat(123);
    owner.submit(|it| {
        it.close(handle, 4001, reason.as_bytes())
            .to(ECHO, None, &[handle])
            .broadcast(ECHO, None)
            .close(handle, 4002, b"too late");
    });
    for _ in 0..sent {
        assert_eq!(raw.next().await.unwrap().first, 0x81);
    }
    let last = raw.next().await.unwrap();
    assert_eq!(last.first, 0x88);
    assert_eq!(
        last.payload,
        [&4001_u16.to_be_bytes(), reason.as_bytes()].concat()
    );
    raw.send(&close(4999, "mine")).await;
    assert_eq!(raw.next().await, None);
    assert_eq!(end(&mut owner), json!([SERVER, 4001, reason]));
    let metrics = owner.server.metrics();
    assert_eq!(
        (
            metrics.sent,
            metrics.written,
            metrics.queued,
            metrics.dropped
        ),
        (sent + 2, sent, 0, 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_client_that_was_closed_are_not_handed_over() {
    let mut owner = Owner::start(config());
    let (mut raw, handle) = Raw::open(&mut owner).await;
    owner.submit(|it| {
        it.pause(handle).close(handle, 1008, b"");
    });
    assert_eq!(raw.next().await.unwrap().first, 0x88);
    // More than the inbox takes of one client, and it is paused.
    for _ in 0..100 {
        raw.send(&message(r#"{"type":"echo"}"#)).await;
        raw.send(&message("bad")).await;
        raw.send(&frame(0x89, b"")).await;
    }
    raw.send(&close(1008, "")).await;
    let told: Told = owner.next();
    assert_eq!((told.code, told.value), (CLOSED, json!([SERVER, 1008, ""])));
    assert_eq!(owner.server.metrics().received, 0);
    assert_eq!(raw.closed().await.0, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_a_close_frame_is_not_waited_for() {
    let mut owner = Owner::start(Config {
        close_timeout: Duration::from_millis(100),
        ..patient()
    });
    // One has read everything, the other reads nothing.
    let (mut reads, first) = Raw::open(&mut owner).await;
    let (_unread, second) = Raw::open(&mut owner).await;
    let sent = fill(&owner, second);
    owner.submit(|it| {
        it.close(first, 4001, b"").close(second, 4002, b"");
    });
    let ends = [owner.next_of(CLOSED), owner.next_of(CLOSED)];
    for end in ends {
        let code = if end.handle == first { 4001 } else { 4002 };
        assert_eq!(end.value, json!([SERVER, code, ""]));
    }
    // It gets a FIN, and no reset.
    assert_eq!(reads.closed().await.0, Some(4001));
    wait_for(&owner.server, |it| {
        it.queued == 0 && it.written + it.dropped == sent
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_a_client_that_is_closing_its_code() {
    let mut owner = Owner::start(config());
    let (_raw, handle) = Raw::open(&mut owner).await;
    owner.submit(|it| {
        it.close(handle, 4001, b"bye");
    });
    owner.server.stop(StopMode::Close);
    owner.server.stop(StopMode::Terminate);
    assert_eq!(end(&mut owner), json!([SERVER, 4001, "bye"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_be_closed_in_the_moment_it_is_admitted() {
    let mut owner = Owner::start(config());
    let mut raw = Raw::connect(&owner).await;
    raw.send(&[raw::UPGRADE, &message(r#"{"type":"echo"}"#)].concat())
        .await;
    let handle = owner.next_of(UPGRADE).handle;
    owner.submit(|it| {
        it.admit(handle)
            .announce(handle)
            .to(ECHO, None, &[handle])
            .close(handle, 4001, b"");
    });
    assert!(raw.head().await.starts_with("HTTP/1.1 101"));
    assert_eq!(raw.next().await.unwrap().first, 0x81);
    assert_eq!(raw.next().await.unwrap().payload, 4001_u16.to_be_bytes());
    raw.send(&close(4001, "")).await;
    assert_eq!(owner.next().code, OPENED);
    assert_eq!(owner.next().code, CLOSED);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_opening_is_told_before_the_first_message_and_only_of_open_clients() {
    let mut owner = Owner::start(config());
    let mut raw = Raw::connect(&owner).await;
    raw.send(&[raw::UPGRADE, &message(r#"{"type":"echo"}"#)].concat())
        .await;
    let handle = owner.next_of(UPGRADE).handle;
    owner.submit(|it| {
        it.announce(handle).admit(handle).announce(handle);
    });
    let codes = [owner.next(), owner.next()].map(|it| (it.handle, it.code));
    assert_eq!(codes, [(handle, OPENED), (handle, 1)]);
    let (mut gone, other) = Raw::open(&mut owner).await;
    gone.send(&close(1000, "")).await;
    owner.next_of(CLOSED);
    owner.submit(|it| {
        it.announce(other);
    });
    assert_eq!(owner.next_within(Duration::from_millis(50)), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_that_is_too_long_is_no_command() {
    let mut owner = Owner::start(config());
    let (mut socket, handle) = owner.client().await;
    owner.submit(|it| {
        it.close(handle, 4001, &[b'x'; 124]);
    });
    assert_eq!(owner.next().value["code"], json!("INTERNAL"));
    owner.submit(|it| {
        it.to(ECHO, None, &[handle]);
    });
    assert_eq!(text(&mut socket).await, r#"{"type":"echo"}"#);
}
