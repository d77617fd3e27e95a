//! Messages in and out of a real TCP port.

mod support;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use support::{BAD, CLOSED, ECHO, Owner, UPGRADE, closed, config, text, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{
        CloseFrame,
        frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};
use zocket::message::error::BadCode;
use zocket::{Config, StopMode};

/// Messages of a flood, more than the inbox of its test holds.
const COUNT: u64 = 2000;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_the_owner_and_its_answer_the_client() {
    let mut owner = Owner::start(config());
    let (mut socket, handle) = owner.client().await;
    socket
        .send(Message::text(r#"{"type":"echo","payload":{"a":[1,null]}}"#))
        .await
        .unwrap();
    let message = owner.next();
    assert_eq!((message.handle, message.code), (handle, 0));
    assert_eq!(message.value, json!({"a": [1, null]}));
    owner.submit(|it| {
        it.to(ECHO, Some(b"{\"b\":2}"), &[handle, handle])
            .to(ECHO, None, &[handle]);
    });
    assert_eq!(
        text(&mut socket).await,
        r#"{"type":"echo","payload":{"b":2}}"#
    );
    assert_eq!(text(&mut socket).await, r#"{"type":"echo"}"#);
    let metrics = owner.server.metrics();
    assert_eq!((metrics.received, metrics.sent, metrics.dropped), (1, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_payload_is_told_from_null() {
    let mut owner = Owner::start(config());
    let (mut socket, _) = owner.client().await;
    socket
        .send(Message::text(r#"{"type":"nothing"}"#))
        .await
        .unwrap();
    socket
        .send(Message::binary(r#"{"type":"nothing","payload":null}"#))
        .await
        .unwrap();
    assert_eq!(owner.next().code, support::NOTHING_BARE);
    assert_eq!(owner.next().code, support::NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_are_answered_and_told_and_the_connection_goes_on() {
    let mut owner = Owner::start(config());
    let (mut socket, _) = owner.client().await;
    for (sent, code) in [
        (Message::text("not json"), "BAD_MESSAGE"),
        (Message::text("[]"), "BAD_MESSAGE"),
        (Message::binary(vec![0xff, 0xfe]), "BAD_MESSAGE"),
        (Message::text(r#"{"type":"news","payload":1}"#), "NO_ROUTE"),
        (
            Message::text(r#"{"type":"$error","payload":1}"#),
            "NO_ROUTE",
        ),
    ] {
        socket.send(sent).await.unwrap();
        let reply: serde_json::Value = serde_json::from_str(&text(&mut socket).await).unwrap();
        assert_eq!(
            (&reply["type"], &reply["payload"]["code"]),
            (&json!("$error"), &json!(code))
        );
        let told = owner.next();
        assert_eq!((told.code, &told.value["code"]), (BAD, &json!(code)));
    }
    socket
        .send(Message::text(r#"{"type":"echo","payload":1}"#))
        .await
        .unwrap();
    assert_eq!(owner.next().code, 0);
    let metrics = owner.server.metrics();
    let bad = |code: BadCode| metrics.bad[code as usize];
    assert_eq!((bad(BadCode::BadMessage), bad(BadCode::NoRoute)), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_past_the_limit_closes_with_1009_and_broken_text_with_1007() {
    let mut owner = Owner::start(Config {
        max_payload: 1000,
        ..config()
    });
    let (mut socket, _) = owner.client().await;
    socket.send(Message::text("x".repeat(1001))).await.unwrap();
    assert_eq!(closed(&mut socket).await, Some(1009));
    let end = json!([1, 1009, "message too large"]);
    assert_eq!(owner.next_of(CLOSED).value, end);
    let (mut socket, _) = owner.client().await;
    let broken = Frame::message(vec![0xff], OpCode::Data(Data::Text), true);
    socket.send(Message::Frame(broken)).await.unwrap();
    assert_eq!(closed(&mut socket).await, Some(1007));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_one_client_arrive_in_order_and_before_its_end() {
    let mut owner = Owner::start(Config {
        io_threads: 2,
        ..config()
    });
    let (mut socket, handle) = owner.client().await;
    for n in 0..5000 {
        let message = format!(r#"{{"type":"echo","payload":{n}}}"#);
        socket.feed(Message::text(message)).await.unwrap();
    }
    socket
        .close(Some(CloseFrame {
            code: 1000.into(),
            reason: "".into(),
        }))
        .await
        .unwrap();
    for n in 0..5000 {
        let message = owner.next();
        assert_eq!((message.handle, message.value), (handle, json!(n)));
    }
    let end = owner.next();
    assert_eq!(
        (end.handle, end.code, end.value),
        (handle, CLOSED, json!([0, 1000, ""]))
    );
    assert_eq!(closed(&mut socket).await, Some(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_pings_is_answered() {
    let mut owner = Owner::start(config());
    let (mut socket, _) = owner.client().await;
    for _ in 0..100 {
        socket
            .feed(Message::Ping(vec![1, 2, 3].into()))
            .await
            .unwrap();
    }
    socket
        .send(Message::text(r#"{"type":"echo"}"#))
        .await
        .unwrap();
    assert_eq!(owner.next().code, 1);
    for _ in 0..100 {
        assert_eq!(
            socket.next().await.unwrap().unwrap(),
            Message::Pong(vec![1, 2, 3].into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_sent_before_the_admission_are_kept() {
    let mut owner = Owner::start(config());
    let mut stream = tokio::net::TcpStream::connect(owner.server.address())
        .await
        .unwrap();
    let head = "GET /?name=a HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let message = br#"{"type":"echo","payload":1}"#;
    let mut frame = vec![
        0x81,
        0x80 | u8::try_from(message.len()).unwrap(),
        0,
        0,
        0,
        0,
    ];
    frame.extend_from_slice(message);
    stream.write_all(&frame).await.unwrap();
    let upgrade = owner.next();
    assert_eq!(upgrade.code, UPGRADE);
    assert_eq!(upgrade.value[1]["name"], json!("a"));
    stream.write_all(&frame).await.unwrap();
    assert_eq!(
        owner.next_within(std::time::Duration::from_millis(50)),
        None
    );
    owner.submit(|it| {
        it.admit(upgrade.handle);
    });
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 101");
    for _ in 0..2 {
        assert_eq!(owner.next().value, json!(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_client_is_not_read_until_it_is_resumed() {
    let mut owner = Owner::start(config());
    let (mut socket, handle) = owner.client().await;
    owner.submit(|it| {
        it.pause(handle).to(ECHO, None, &[handle]);
    });
    text(&mut socket).await;
    for _ in 0..10 {
        socket
            .send(Message::text(r#"{"type":"echo","payload":1}"#))
            .await
            .unwrap();
    }
    assert_eq!(
        owner.next_within(std::time::Duration::from_millis(50)),
        None
    );
    owner.submit(|it| {
        it.resume(handle);
    });
    for _ in 0..10 {
        assert_eq!(owner.next().value, json!(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_does_not_look_stops_the_reading_and_nothing_is_lost() {
    let mut owner = Owner::start(Config {
        max_inbox: 64 * 1024,
        ..config()
    });
    let (mut socket, _) = owner.client().await;
    let message = format!(r#"{{"type":"echo","payload":"{}"}}"#, "x".repeat(10_000));
    let sending = tokio::spawn(async move {
        for _ in 0..COUNT {
            socket.feed(Message::text(message.clone())).await.unwrap();
        }
        socket.flush().await.unwrap();
        socket
    });
    wait_for(&owner.server, |it| it.received > 6);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    // 64 KiB of 10 kB messages, and the scratch that was read when the inbox filled.
    assert!(
        owner.server.metrics().received < 30,
        "{:?}",
        owner.server.metrics()
    );
    for _ in 0..COUNT {
        assert_eq!(owner.next().code, 0);
    }
    drop(sending.await.unwrap());
    assert_eq!(owner.next().code, CLOSED);
    owner.stop(StopMode::Close);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_that_floods_is_read_no_further_than_the_owner_follows() {
    let mut owner = Owner::start(config());
    let (mut flood, _) = owner.client().await;
    let (mut other, handle) = owner.client().await;
    let message = format!(r#"{{"type":"echo","payload":"{}"}}"#, "x".repeat(1000));
    let sending = tokio::spawn(async move {
        for _ in 0..COUNT * 10 {
            flood.feed(Message::text(message.clone())).await.unwrap();
        }
        flood.flush().await.unwrap();
        flood
    });
    wait_for(&owner.server, |it| it.received >= 64);
    other
        .send(Message::text(r#"{"type":"nothing"}"#))
        .await
        .unwrap();
    // The owner looks once; what came by then is the flood's share and the other's message.
    wait_for(&owner.server, |it| it.received >= 65);
    assert_eq!(owner.server.metrics().received, 65);
    let mut counts = [0, 0];
    while counts != [COUNT * 10, 1] {
        counts[usize::from(owner.next().handle == handle)] += 1;
    }
    drop(sending.await.unwrap());
}
