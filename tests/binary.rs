//! Messages that carry bytes, over a real TCP port: a head, then the bytes as they are.

mod support;

use serde_json::{Value, json};
use support::{
    BAD, CHUNK, ECHO, Owner, STORE, UPLOAD, config,
    raw::{Raw, ServerFrame, frame, header},
    wait_for,
};
use zocket::{Answer, Config, Kind, border::codes::message};

const BYTES: i64 = message::BYTES as i64;
const NUMBERED: i64 = message::NUMBERED as i64;
const BINARY: u8 = 0x82;

/// A message of bytes.
fn message(name: &str, id: Option<u64>, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(name.len()).unwrap().to_be_bytes();
    let mut message = vec![0, u8::from(id.is_some())];
    message.extend_from_slice(&length);
    message.extend_from_slice(name.as_bytes());
    message.extend(id.iter().flat_map(|id| id.to_be_bytes()));
    message.extend_from_slice(payload);
    message
}

async fn send(raw: &mut Raw, message: &[u8]) {
    raw.send(&frame(BINARY, message)).await;
}

/// The next frame, which carries bytes.
async fn binary(raw: &mut Raw) -> Vec<u8> {
    let ServerFrame { first, payload } = raw.next().await.expect("open");
    assert_eq!(first, BINARY);
    payload
}

/// The next frame, which is JSON.
async fn json(raw: &mut Raw) -> Value {
    let ServerFrame { first, payload } = raw.next().await.expect("open");
    assert_eq!(first, 0x81);
    serde_json::from_slice(&payload).unwrap()
}

/// The code of the next frame, which is a `$error`, its `id`, and its route.
async fn error(raw: &mut Raw) -> (String, Option<u64>, Option<String>) {
    let error = json(raw).await;
    assert_eq!(error["type"], "$error");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let payload = &error["payload"];
    let code = text(&payload["code"]).unwrap();
    (code, error["id"].as_u64(), text(&payload["route"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_reach_the_owner_as_they_are_and_in_order_with_json() {
    let mut owner = Owner::start(config());
    let (mut raw, handle) = Raw::open(&mut owner).await;
    let json_like = br#"{"type":"echo","payload":1}"#;
    for payload in [&b""[..], &[0], json_like, &[0xff; 300]] {
        send(&mut raw, &message("upload", None, payload)).await;
        raw.send(&frame(0x81, br#"{"type":"echo","payload":2}"#))
            .await;
    }
    for payload in [&b""[..], &[0], json_like, &[0xff; 300]] {
        let told = owner.next();
        assert_eq!(
            (told.handle, told.code, told.value),
            (handle, UPLOAD | BYTES, Value::Null)
        );
        assert_eq!(told.bytes.as_deref(), Some(payload));
        assert_eq!(owner.next().value, json!(2));
    }
    assert_eq!(owner.server.metrics().received, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_comes_with_the_event_and_answers_carry_bytes_or_json() {
    let mut owner = Owner::start(config());
    let (mut raw, handle) = Raw::open(&mut owner).await;
    send(&mut raw, &message("upload", Some(7), b"a")).await;
    let told = owner.next();
    assert_eq!(told.code, UPLOAD | NUMBERED | BYTES);
    assert_eq!((told.number, told.bytes), (7, Some(b"a".to_vec())));
    owner.submit(|it| {
        it.answer(Answer::Done, handle, 7, Kind::Json, None);
    });
    assert_eq!(json(&mut raw).await, json!({"type": "$reply", "id": 7}));

    let id = (1 << 53) - 1;
    send(&mut raw, &message("store", Some(id), b"b")).await;
    let told = owner.next();
    assert_eq!(told.code, STORE | NUMBERED | BYTES);
    let number = told.number;
    owner.submit(|it| {
        it.answer(Answer::Item, handle, number, Kind::Bytes, Some(b"\0item"))
            .answer(Answer::Item, handle, number, Kind::Json, Some(b"1"))
            .answer(Answer::End, handle, number, Kind::Bytes, Some(b""));
    });
    assert_eq!(
        binary(&mut raw).await,
        message("$item", Some(id), b"\0item")
    );
    assert_eq!(json(&mut raw).await["payload"], json!(1));
    assert_eq!(binary(&mut raw).await, message("$end", Some(id), b""));

    send(&mut raw, &message("store", Some(id), b"c")).await;
    let number = owner.next().number;
    owner.submit(|it| {
        it.answer(Answer::Reply, handle, number, Kind::Bytes, Some(b"c"))
            // It is answered already.
            .answer(Answer::Reply, handle, number, Kind::Bytes, Some(b"d"));
    });
    assert_eq!(binary(&mut raw).await, message("$reply", Some(id), b"c"));
    // Without an id nobody answers.
    send(&mut raw, &message("store", None, b"e")).await;
    assert_eq!(owner.next().code, STORE | BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_cut_anywhere_in_its_head_is_bad_and_the_next_one_is_taken() {
    let mut owner = Owner::start(config());
    let (mut raw, _) = Raw::open(&mut owner).await;
    let whole = message("store", Some(7), b"");
    for length in 1..whole.len() {
        send(&mut raw, &whole[..length]).await;
        let (code, id, route) = error(&mut raw).await;
        assert_eq!((&*code, id, route), ("BAD_MESSAGE", None, None), "{length}");
    }
    // Nothing at all is neither.
    send(&mut raw, b"").await;
    assert_eq!(error(&mut raw).await.0, "BAD_MESSAGE");
    send(&mut raw, &whole).await;
    assert_eq!(owner.next_of(STORE | NUMBERED | BYTES).bytes, Some(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_whole_head_says_wrong_is_refused_with_its_id() {
    let mut owner = Owner::start(config());
    let (mut raw, _) = Raw::open(&mut owner).await;
    let most = "x".repeat(65_535);
    let mut flagged = message("upload", Some(7), b"");
    flagged[1] = 3;
    let mut no_text = message("upload", Some(7), b"");
    no_text[4] = 0xff;
    let mut lie = message("upload", None, b"ab");
    lie[2] = 0xff;
    let told = format!("{}…", "x".repeat(1024));
    for (sent, code, id, route) in [
        (
            message("echo", Some(7), b"{}"),
            "BAD_MESSAGE",
            Some(7),
            Some("echo"),
        ),
        (
            message("echo", None, b"{}"),
            "BAD_MESSAGE",
            None,
            Some("echo"),
        ),
        (
            message("chunk", Some(7), b""),
            "NO_ROUTE",
            Some(7),
            Some("chunk"),
        ),
        (
            message("$abort", Some(7), b""),
            "NO_ROUTE",
            Some(7),
            Some("$abort"),
        ),
        (message("", Some(7), b""), "NO_ROUTE", Some(7), Some("")),
        (
            message(&most, Some(7), b""),
            "NO_ROUTE",
            Some(7),
            Some(&*told),
        ),
        (
            message("store", Some(1 << 53), b""),
            "BAD_MESSAGE",
            None,
            Some("store"),
        ),
        (flagged, "BAD_MESSAGE", Some(7), None),
        (no_text, "BAD_MESSAGE", Some(7), None),
        (lie, "BAD_MESSAGE", None, None),
    ] {
        send(&mut raw, &sent).await;
        let expected = (code.to_owned(), id, route.map(str::to_owned));
        assert_eq!(error(&mut raw).await, expected);
    }
    assert_eq!(owner.next().code, BAD);

    // An id that is in use is not answered: that would settle the call under way.
    send(&mut raw, &message("store", Some(7), b"")).await;
    send(&mut raw, &message("store", Some(7), b"")).await;
    send(&mut raw, &message("echo", Some(7), b"")).await;
    for route in ["store", "echo"] {
        let (code, id, told) = error(&mut raw).await;
        assert_eq!(
            (&*code, id, told.as_deref()),
            ("BAD_MESSAGE", None, Some(route))
        );
    }
    // For a route that is not answered, an id that cannot be read says nothing.
    send(&mut raw, &message("upload", Some(u64::MAX), b"x")).await;
    assert_eq!(owner.next_of(UPLOAD | BYTES).bytes, Some(b"x".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_for_a_route_of_bytes_is_for_the_owner_to_refuse() {
    let mut owner = Owner::start(config());
    let (mut raw, _) = Raw::open(&mut owner).await;
    raw.send(&frame(0x81, br#"{"type":"upload","payload":"AAAA"}"#))
        .await;
    let told = owner.next();
    assert_eq!(
        (told.code, told.value, told.bytes),
        (UPLOAD, json!("AAAA"), None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_sent_in_every_way_and_once_to_each() {
    let mut owner = Owner::start(config());
    let (mut raw, handle) = Raw::open(&mut owner).await;
    let long = vec![5; 70_000];
    owner.submit(|it| {
        it.join(handle, b"a")
            .join(handle, b"b")
            .to(CHUNK, Some(b"\x01"), &[handle])
            .to(CHUNK, Some(b"\x02"), &[handle, handle])
            .rooms(CHUNK, Some(b"\x03"), &[b"a"])
            .rooms(ECHO, Some(b"3"), &[b"a"])
            .rooms(CHUNK, Some(b"\x04"), &[b"a", b"b"])
            .broadcast(CHUNK, Some(&long))
            .broadcast(CHUNK, Some(b""));
    });
    assert_eq!(binary(&mut raw).await, message("chunk", None, b"\x01"));
    assert_eq!(binary(&mut raw).await, message("chunk", None, b"\x02"));
    assert_eq!(binary(&mut raw).await, message("chunk", None, b"\x03"));
    assert_eq!(json(&mut raw).await["payload"], json!(3));
    assert_eq!(binary(&mut raw).await, message("chunk", None, b"\x04"));
    assert_eq!(binary(&mut raw).await, message("chunk", None, &long));
    assert_eq!(binary(&mut raw).await, message("chunk", None, b""));
    wait_for(&owner.server, |it| it.written == 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_mebibytes_come_in_and_go_out() {
    const SIZE: usize = 16 << 20;
    let mut owner = Owner::start(Config {
        max_payload: SIZE + 64,
        ..config()
    });
    let (mut raw, handle) = Raw::open(&mut owner).await;
    let payload: Vec<u8> = (0..=u8::MAX).cycle().take(SIZE).collect();
    send(&mut raw, &message("upload", None, &payload)).await;
    let bytes = owner.next().bytes.unwrap();
    assert!(bytes == payload);
    owner.submit(|it| {
        it.to(CHUNK, Some(&bytes), &[handle]);
    });
    assert!(binary(&mut raw).await == message("chunk", None, &payload));
    // One byte more than there may be.
    raw.send(&header(BINARY, SIZE as u64 + 65)).await;
    assert_eq!(raw.closed().await.0, Some(1009));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_the_owner_does_not_take_stop_the_reading_of_their_client() {
    let mut owner = Owner::start(config());
    let (mut raw, _) = Raw::open(&mut owner).await;
    let before = owner.server.metrics().buffered;
    let large = frame(BINARY, &message("upload", None, &vec![7; 60_000]));
    let small = frame(BINARY, &message("upload", None, b""));
    // Three large ones are more than a client may have waiting.
    raw.send(&large.repeat(3)).await;
    raw.send(&small.repeat(2)).await;
    wait_for(&owner.server, |it| it.received >= 3);
    let metrics = owner.server.metrics();
    assert_eq!(metrics.received, 3);
    assert!(metrics.buffered - before > 180_000);
    for _ in 0..3 {
        assert_eq!(owner.next().bytes.unwrap().len(), 60_000);
    }
    for _ in 0..2 {
        assert_eq!(owner.next().bytes, Some(vec![]));
    }
    // Empty ones count too.
    raw.send(&small.repeat(100)).await;
    wait_for(&owner.server, |it| it.received >= 5 + 64);
    assert_eq!(owner.server.metrics().received, 5 + 64);
    for _ in 0..100 {
        assert_eq!(owner.next().bytes, Some(vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_past_the_rate_is_refused_with_its_route_and_id() {
    let mut owner = Owner::start(Config {
        // Slow enough that no test machine is late for it.
        max_messages_per_second: Some(0.001),
        ..config()
    });
    let (mut raw, _) = Raw::open(&mut owner).await;
    for sent in [
        message("upload", None, b""),
        message("upload", None, b""),
        message("store", Some(9), b""),
        message("nobody", Some(10), b""),
        vec![0],
    ] {
        send(&mut raw, &sent).await;
    }
    for (id, route) in [
        (None, Some("upload")),
        (Some(9), Some("store")),
        (Some(10), None),
        (None, None),
    ] {
        let expected = ("RATE_LIMITED".to_owned(), id, route.map(str::to_owned));
        assert_eq!(error(&mut raw).await, expected);
    }
}
