//! Frames that nobody should send: each ends with the close code RFC 6455 gives, or harms nobody.

mod support;

use std::{fs, path::PathBuf, time::Duration};

use serde_json::json;
use support::{
    BAD, CLOSED, FAULT, Owner, config, fill, patient,
    raw::{Raw, ServerFrame, frame, header},
};
use tokio::{io::AsyncWriteExt, time::timeout};
use zocket::message::error::BadCode;
use zocket::{Config, StopMode};

/// What the name of a seed says about the end.
#[derive(Debug, PartialEq)]
enum Expected {
    Close(u16),
    /// It goes on.
    Open,
    /// It waits for the rest.
    Half,
}

/// The bytes in `fuzz/seeds/frames`, as they follow a handshake.
fn corpus() -> Vec<(String, Expected, Vec<u8>)> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz", "seeds", "frames"]
        .iter()
        .collect();
    let mut corpus: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let expected = match &name[..4] {
                "open" => Expected::Open,
                "half" => Expected::Half,
                code => Expected::Close(code.parse().unwrap()),
            };
            (name, expected, fs::read(path).unwrap())
        })
        .collect();
    corpus.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(corpus.len() > 100);
    corpus
}

fn limited() -> Config {
    Config {
        max_payload: 1000,
        ..config()
    }
}

/// Sends and looks how it ends.
async fn check(owner: &mut Owner, name: &str, expected: &Expected, pieces: &[&[u8]]) {
    let (mut raw, handle) = Raw::open(owner).await;
    for piece in pieces {
        raw.send(piece).await;
    }
    match expected {
        Expected::Close(code) => assert_eq!(raw.closed().await.0, Some(*code), "{name}"),
        Expected::Open => {
            raw.send(&frame(0x89, b"still there?")).await;
            loop {
                let answer = raw.next().await.unwrap_or_else(|| panic!("{name}: closed"));
                if answer.payload == b"still there?" {
                    break;
                }
            }
            raw.send(&frame(0x88, b"\x03\xe8")).await;
            assert_eq!(raw.closed().await.0, Some(1000), "{name}");
        }
        Expected::Half => {
            raw.stream.shutdown().await.unwrap();
            assert_eq!(raw.closed().await, (None, 0), "{name}");
        }
    }
    loop {
        let event = owner.next();
        assert_ne!(event.code, FAULT, "{name}: {event:?}");
        if event.code == CLOSED {
            assert!(event.value.is_array(), "{name}");
            assert_eq!(event.handle, handle, "{name}");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_seed_ends_as_its_name_says() {
    let mut owner = Owner::start(limited());
    for (name, expected, bytes) in corpus() {
        check(&mut owner, &name, &expected, &[&bytes]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_seed_ends_the_same_in_pieces_of_one_byte() {
    let mut owner = Owner::start(limited());
    for (name, expected, bytes) in corpus() {
        let pieces: Vec<_> = bytes.chunks(1).collect();
        check(&mut owner, &name, &expected, &pieces).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_frames_may_be_longer_than_messages() {
    let mut owner = Owner::start(Config {
        max_payload: 10,
        ..config()
    });
    let ping = frame(0x89, &[b'7'; 125]);
    let message = [
        &ping[..],
        &frame(0x01, b"[1,2]"),
        &ping,
        &frame(0x80, b"     "),
    ]
    .concat();
    check(&mut owner, "pings", &Expected::Open, &[&message]).await;
    assert_eq!(owner.server.metrics().received, 1);
    let too_long = [&frame(0x01, b"[1,2]")[..], &ping, &header(0x80, 6)].concat();
    check(&mut owner, "six more", &Expected::Close(1009), &[&too_long]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_million_fragments_arrives() {
    let mut owner = Owner::start(config());
    let (mut raw, _) = Raw::open(&mut owner).await;
    let text = format!(r#"{{"type":"echo","payload":"{}"}}"#, "x".repeat(1_000_000));
    let mut bytes = frame(0x01, &text.as_bytes()[..1]);
    for byte in text[1..].bytes() {
        bytes.extend_from_slice(&frame(0x00, &[byte]));
    }
    bytes.extend_from_slice(&frame(0x80, b""));
    raw.send(&bytes).await;
    assert_eq!(owner.next().value.as_str().map(str::len), Some(1_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn nesting_of_a_hundred_thousand_levels_is_answered_or_passed_on() {
    let mut owner = Owner::start(config());
    let (mut raw, _) = Raw::open(&mut owner).await;
    let open = "[".repeat(100_000);
    let objects = r#"{"a":"#.repeat(100_000);
    let balanced = format!("{open}{}", "]".repeat(100_000));
    for bad in [
        &open,
        &objects,
        &balanced,
        &format!(r#"{{"type":{balanced}}}"#),
    ] {
        raw.send(&frame(0x81, bad.as_bytes())).await;
        let answer = raw.next().await.unwrap();
        assert!(answer.payload.starts_with(br#"{"type":"$error""#));
    }
    let deep = format!(r#"{{"type":"echo","payload":{balanced}}}"#);
    raw.send(&frame(0x81, deep.as_bytes())).await;
    assert_eq!(owner.next_of(0).value, json!(balanced));
    let metrics = owner.server.metrics();
    assert_eq!(
        (metrics.received, metrics.bad[BadCode::BadMessage as usize]),
        (5, 4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_name_of_a_megabyte_is_not_sent_back_whole() {
    let mut owner = Owner::start(config());
    let (mut raw, _) = Raw::open(&mut owner).await;
    let message = |name: &str| frame(0x81, json!({ "type": name }).to_string().as_bytes());
    let mut is_told = false;
    // The cut never falls into a character.
    for (name, told) in [
        ("x".repeat(1024), "x".repeat(1024)),
        ("x".repeat(900_000), "x".repeat(1024) + "…"),
        ("é".repeat(400_000), "é".repeat(512) + "…"),
        (
            format!("x{}", "é".repeat(600)),
            format!("x{}…", "é".repeat(511)),
        ),
        ("\0".repeat(150_000), "\0".repeat(1024) + "…"),
    ] {
        raw.send(&message(&name)).await;
        let answer = raw.next().await.unwrap().payload;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["payload"]["code"], json!("NO_ROUTE"));
        assert_eq!(answer["payload"]["route"], json!(told));
        if !is_told {
            is_told = true;
            let event = owner.next();
            assert_eq!((event.code, &event.value), (BAD, &answer["payload"]));
        }
    }
    // The others of that second come as a count.
    let event = owner.next();
    assert_eq!((event.code, &event.value["count"]), (BAD, &json!(4)));
}

/// A server that keeps as much for a slow client as [`fill`] sends.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_a_close_frame_even_when_a_pong_was_waiting() {
    let mut owner = Owner::start(patient());
    for end in [frame(0x88, b"\x03\xe8"), frame(0x83, b"")] {
        let (mut raw, handle) = Raw::open(&mut owner).await;
        let sent = fill(&owner, handle);
        raw.send(&frame(0x89, b"waiting")).await;
        raw.send(&end).await;
        // The server has read both before anything is read here.
        assert_eq!(owner.next_of(CLOSED).handle, handle);
        let (code, before) = raw.closed().await;
        assert!(matches!(code, Some(1000 | 1002)), "{code:?}");
        assert_eq!(before as u64, sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_frame_after_our_close_frame_is_not_answered_with_another() {
    let mut owner = Owner::start(config());
    let (mut raw, handle) = Raw::open(&mut owner).await;
    owner.submit(|it| {
        it.close(handle, 4001, b"");
    });
    assert_eq!(raw.next().await.unwrap().payload, 4001_u16.to_be_bytes());
    raw.send(&frame(0xff, b"")).await;
    assert_eq!(raw.closed().await, (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_gets_no_ping_after_our_close_frame() {
    let mut owner = Owner::start(Config {
        heartbeat_interval: Some(Duration::from_millis(20)),
        ..config()
    });
    let (mut raw, handle) = Raw::open(&mut owner).await;
    owner.submit(|it| {
        it.close(handle, 4001, b"");
    });
    // Silent for two intervals, it is ended.
    assert_eq!(owner.next_of(CLOSED).handle, handle);
    while let Some(frame) = raw.next().await {
        if frame.first == 0x88 {
            assert_eq!(raw.next().await, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_read_gets_no_ping_after_our_close_frame() {
    let mut owner = Owner::start(Config {
        heartbeat_interval: Some(Duration::from_millis(4)),
        ..config()
    });
    let (mut raw, handle) = Raw::open(&mut owner).await;
    owner.submit(|it| {
        it.pause(handle).close(handle, 4001, b"");
    });
    while raw.next().await.unwrap().first != 0x88 {}
    // Many intervals. It stays, as its silence is ours.
    let more = timeout(Duration::from_millis(100), raw.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_pings_by_a_client_that_does_not_read_leaves_one_pong() {
    let mut owner = Owner::start(patient());
    let (mut raw, handle) = Raw::open(&mut owner).await;
    fill(&owner, handle);
    let mut pings = Vec::new();
    for n in 0..20_000_u32 {
        pings.extend_from_slice(&frame(0x89, &n.to_be_bytes().repeat(30)));
    }
    raw.send(&pings).await;
    raw.send(&frame(0x81, br#"{"type":"nothing"}"#)).await;
    assert_eq!(owner.next().code, support::NOTHING_BARE);
    // The newest stands for all the others.
    let pong = loop {
        let ServerFrame { first, payload } = raw.next().await.unwrap();
        if first == 0x8a {
            break payload;
        }
    };
    assert_eq!(pong[..4], 19_999_u32.to_be_bytes());
    raw.send(&frame(0x88, b"\x03\xe8")).await;
    assert_eq!(raw.closed().await, (Some(1000), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_flood_of_pings_is_read_to_its_end_and_answered() {
    let mut owner = Owner::start(config());
    let (raw, _) = Raw::open(&mut owner).await;
    let (mut reader, mut writer) = raw.stream.into_split();
    let pings = frame(0x89, b"").repeat(300_000);
    let reading = tokio::spawn(async move {
        let mut answers = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answers)
            .await
            .map(|_| answers)
    });
    writer.write_all(&pings).await.unwrap();
    writer.write_all(&frame(0x88, b"\x03\xe8")).await.unwrap();
    let answers = reading.await.unwrap().unwrap();
    assert!(answers.ends_with(b"\x8a\0\x88\x02\x03\xe8"));
    assert_eq!(owner.next().code, CLOSED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lies_about_a_length_does_not_hold_up_a_stop() {
    let mut owner = Owner::start(config());
    let (mut raw, handle) = Raw::open(&mut owner).await;
    raw.send(&header(0x82, 1024 * 1024)).await;
    raw.send(b"only this").await;
    let (mut other, _) = Raw::open(&mut owner).await;
    other.send(&frame(0x81, br#"{"type":"nothing"}"#)).await;
    owner.next_of(support::NOTHING_BARE);
    let events = owner.stop(StopMode::Terminate);
    assert!(
        events
            .iter()
            .any(|event| (event.handle, event.code) == (handle, CLOSED))
    );
}
