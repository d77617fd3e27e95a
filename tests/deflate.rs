//! permessage-deflate over real sockets. The other side of each connection compresses with another implementation.
#![cfg(feature = "deflate")]

mod support;

use std::time::Duration;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress};
use proptest::prelude::*;
use serde_json::json;
use support::{
    BAD, CLOSED, ECHO, FAULT, Owner, SECRET, STATE, TICK, config,
    raw::{Raw, ServerFrame, UPGRADE, frame, header},
    wait_for,
};
use zocket::{Compression, Config, Handle, SlowClient, StopMode};

const OFFER: &str = "permessage-deflate";
/// The first byte of a text frame that is a whole compressed message.
const COMPRESSED: u8 = 0xc1;

fn compressing() -> Config {
    Config {
        compression: Some(Compression::default()),
        ..config()
    }
}

fn request(offers: &str) -> Vec<u8> {
    let head = UPGRADE.strip_suffix(b"\r\n").unwrap();
    [
        head,
        format!("sec-websocket-extensions: {offers}\r\n\r\n").as_bytes(),
    ]
    .concat()
}

/// A client that has agreed to compress.
async fn open(owner: &mut Owner) -> (Raw, Handle) {
    let (raw, handle, answer) = open_with(owner, OFFER).await;
    assert_eq!(
        answer.as_deref(),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
    (raw, handle)
}

/// A client that offers this, and what the server answers.
async fn open_with(owner: &mut Owner, offers: &str) -> (Raw, Handle, Option<String>) {
    let (raw, handle, head) = Raw::open_with(owner, &request(offers)).await;
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let answer = fields.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-extensions"));
    (raw, handle, answer.map(|(_, value)| value.to_owned()))
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + plain.len() / 100 + 1024);
    let mut stream = Compress::new(flate2::Compression::new(6), false);
    stream
        .compress_vec(plain, &mut out, FlushCompress::Sync)
        .unwrap();
    assert_eq!(stream.total_in(), plain.len() as u64);
    assert_eq!(out.split_off(out.len() - 4), [0, 0, 0xff, 0xff]);
    out
}

fn inflate(compressed: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 << 20);
    let mut stream = Decompress::new(false);
    let whole = [compressed, &[0, 0, 0xff, 0xff]].concat();
    stream
        .decompress_vec(&whole, &mut out, FlushDecompress::Sync)
        .unwrap();
    assert_eq!(stream.total_in(), whole.len() as u64);
    out
}

/// An envelope for the route `echo`.
fn echo(payload: &str) -> String {
    format!(r#"{{"type":"echo","payload":{payload}}}"#)
}

/// JSON text of about so many bytes that shrinks, but not to nothing.
fn text(bytes: usize) -> String {
    let mut state = 1_u32;
    let mut json = String::from("\"");
    while json.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        json.push_str(["one ", "two ", "three ", "four ", "five "][(state >> 8) as usize % 5]);
    }
    json.push('"');
    json
}

/// JSON text that does not shrink: each character stands for six random bits, and random bytes besides.
fn noise(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let characters = (0..bytes / 3).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Three bytes each, of 15 bits: UTF-8 alone makes it shrink a little.
        char::from_u32(0x4e00 + (state >> 40) as u32 % 0x5000).unwrap()
    });
    characters.collect()
}

/// The text of the next message, and whether it was compressed.
async fn next(raw: &mut Raw) -> (String, bool) {
    let ServerFrame { first, payload } = raw.next().await.expect("open");
    match first {
        COMPRESSED => (String::from_utf8(inflate(&payload)).unwrap(), true),
        0x81 => (String::from_utf8(payload).unwrap(), false),
        _ => panic!("a frame that begins with {first:#04x}"),
    }
}

/// Whether the connection goes on.
async fn lives(owner: &mut Owner, raw: &mut Raw) {
    raw.send(&frame(0x81, echo("\"still\"").as_bytes())).await;
    assert_eq!(owner.next_of(0).value, json!("still"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_by_default() {
    let mut owner = Owner::start(config());
    let (mut raw, handle, answer) = open_with(&mut owner, OFFER).await;
    assert_eq!(answer, None);
    let long = text(5000);
    owner.submit(|it| {
        it.to(ECHO, Some(long.as_bytes()), &[handle]);
    });
    assert_eq!(next(&mut raw).await, (echo(&long), false));
    raw.send(&frame(COMPRESSED, &deflate(echo("1").as_bytes())))
        .await;
    assert_eq!(raw.closed().await.0, Some(1002));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_is_not_acceptable_gives_a_connection_without_compression() {
    let mut owner = Owner::start(compressing());
    for offers in [
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; mux=1",
        "x-webkit-deflate-frame",
        "\"",
        ";;;,,,===",
    ] {
        let (mut raw, handle, answer) = open_with(&mut owner, offers).await;
        assert_eq!(answer, None, "{offers}");
        let long = text(5000);
        owner.submit(|it| {
            it.to(ECHO, Some(long.as_bytes()), &[handle]);
        });
        assert_eq!(next(&mut raw).await, (echo(&long), false), "{offers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_are_read_from_the_request_alone() {
    let mut owner = Owner::start(compressing());
    let mut request = UPGRADE.to_vec();
    request.splice(
        4..5,
        b"/?sec-websocket-extensions=permessage-deflate".to_vec(),
    );
    let (_raw, _, head) = Raw::open_with(&mut owner, &request).await;
    assert!(!head.contains("permessage-deflate"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_messages_reach_the_owner_however_they_are_cut() {
    let mut owner = Owner::start(compressing());
    let (mut raw, handle) = open(&mut owner).await;
    let long = text(100_000);
    let compressed = deflate(echo(&long).as_bytes());
    let half = compressed.len() / 2;
    let expected: serde_json::Value = serde_json::from_str(&long).unwrap();
    let fragments = |first: u8| {
        [
            frame(first, &compressed[..half]),
            frame(0x89, b"ping"),
            frame(0x00, &[]),
            frame(0x00, &compressed[half..=half]),
            frame(0x8a, b""),
            frame(0x80, &compressed[half + 1..]),
        ]
        .concat()
    };
    for bytes in [
        frame(0xc1, &compressed),
        frame(0xc2, &compressed),
        fragments(0x41),
        fragments(0x42),
    ] {
        for size in [bytes.len(), 1000, 7] {
            for piece in bytes.chunks(size) {
                raw.send(piece).await;
            }
            let told = owner.next_of(0);
            assert_eq!((told.handle, &told.value), (handle, &expected));
        }
        // Messages that are not compressed may come between.
        lives(&mut owner, &mut raw).await;
    }
    let metrics = owner.server.metrics();
    assert_eq!((metrics.received, metrics.bad), (16, Default::default()));
    let pong = raw.next().await.unwrap();
    assert_eq!((pong.first, &*pong.payload), (0x8a, &b"ping"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_at_once_come_in_order() {
    let mut owner = Owner::start(compressing());
    let (mut raw, _) = open(&mut owner).await;
    let filler = text(3000);
    let bytes: Vec<u8> = (0..500)
        .flat_map(|n| {
            let message = echo(&format!("[{n},{filler}]"));
            if n % 3 == 0 {
                frame(0x81, message.as_bytes())
            } else {
                frame(COMPRESSED, &deflate(message.as_bytes()))
            }
        })
        .collect();
    let sending = tokio::spawn(async move {
        raw.send(&bytes).await;
        raw
    });
    for n in 0..500 {
        assert_eq!(owner.next_of(0).value[0], json!(n));
    }
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_message_is_no_envelope_and_the_connection_goes_on() {
    let mut owner = Owner::start(compressing());
    let (mut raw, _) = open(&mut owner).await;
    // As RFC 7692, section 7.2.3.6, has it, and as zlib does it.
    for empty in [&[0x00][..], &[0x02, 0x00]] {
        raw.send(&frame(COMPRESSED, empty)).await;
        assert_eq!(owner.next_of(BAD).value["code"], json!("BAD_MESSAGE"));
        assert!(next(&mut raw).await.0.contains("BAD_MESSAGE"));
        lives(&mut owner, &mut raw).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_where_it_does_not_belong_is_1002() {
    let mut owner = Owner::start(compressing());
    let compressed = deflate(echo("1").as_bytes());
    for bytes in [
        // In a continuation, of a compressed message and of another one.
        [frame(0x41, &compressed[..3]), frame(0xc0, &compressed[3..])].concat(),
        [frame(0x01, b"{"), frame(0xc0, b"}")].concat(),
        // In control frames.
        frame(0xc9, b"x"),
        frame(0xca, b"x"),
        frame(0xc8, b"\x03\xe8"),
        // The other two bits.
        frame(0xa1, &compressed),
        frame(0x91, &compressed),
        frame(0xe1, &compressed),
        // A new message inside another one.
        [frame(0x41, &compressed), frame(COMPRESSED, &compressed)].concat(),
    ] {
        let (mut raw, _) = open(&mut owner).await;
        raw.send(&bytes).await;
        assert_eq!(raw.closed().await.0, Some(1002), "{bytes:x?}");
        owner.next_of(CLOSED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_and_broken_text_are_1007() {
    let mut owner = Owner::start(compressing());
    let compressed = deflate(echo(&text(3000)).as_bytes());
    for payload in [
        &b""[..],
        &[0x06],
        &[0xff; 100],
        b"{\"type\":\"echo\"}",
        &compressed[..compressed.len() / 2],
        &compressed[1..],
        // Not UTF-8.
        &deflate(b"\"\xff\""),
        &deflate(b"\"\xe2\x82"),
    ] {
        let (mut raw, _) = open(&mut owner).await;
        raw.send(&frame(COMPRESSED, payload)).await;
        assert_eq!(raw.closed().await, (Some(1007), 0), "{payload:x?}");
        let end = owner.next_of(CLOSED).value;
        assert_eq!((&end[0], &end[1]), (&json!(1), &json!(1007)));
    }
    // In a binary message it is told as a bad message, as without compression.
    let (mut raw, _) = open(&mut owner).await;
    raw.send(&frame(0xc2, &deflate(b"\"\xff\""))).await;
    assert_eq!(owner.next_of(BAD).value["code"], json!("BAD_MESSAGE"));
    wait_for(&owner.server, |it| it.buffered == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_inflate_to_max_payload_and_no_further() {
    let max_payload = 50_000;
    let mut owner = Owner::start(Config {
        max_payload,
        ..compressing()
    });
    let whole = |length: usize| echo(&format!("\"{}\"", "a".repeat(length - echo("\"\"").len())));
    // One that does not shrink is a little longer compressed, and is still no larger than allowed.
    let unshrunk = {
        let mut stream = Compress::new(flate2::Compression::none(), false);
        let mut out = Vec::with_capacity(2 * max_payload);
        let message = whole(max_payload);
        stream
            .compress_vec(message.as_bytes(), &mut out, FlushCompress::Sync)
            .unwrap();
        out.truncate(out.len() - 4);
        out
    };
    assert!(unshrunk.len() > max_payload);
    let (mut raw, _) = open(&mut owner).await;
    for compressed in [unshrunk, deflate(whole(max_payload).as_bytes())] {
        raw.send(&frame(COMPRESSED, &compressed)).await;
        let told = owner.next_of(0);
        assert_eq!(
            told.value.as_str().unwrap().len(),
            max_payload - echo("\"\"").len()
        );
    }
    raw.send(&frame(
        COMPRESSED,
        &deflate(whole(max_payload + 1).as_bytes()),
    ))
    .await;
    assert_eq!(raw.closed().await.0, Some(1009));
    // What comes compressed is bounded too, by what a header announces.
    let (mut raw, _) = open(&mut owner).await;
    raw.send(&header(COMPRESSED, 51_000)).await;
    assert_eq!(raw.closed().await.0, Some(1009));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_is_1009_and_others_are_served_meanwhile() {
    const MIB: usize = 1 << 20;
    let max_payload = 16 * MIB;
    let mut owner = Owner::start(Config {
        max_payload,
        ..compressing()
    });
    let (mut other, other_handle) = open(&mut owner).await;
    // A GiB of zeros is a MiB of repetitions.
    let mut stream = Compress::new(flate2::Compression::best(), false);
    let mut bomb = Vec::with_capacity(2 * MIB);
    let zeros = vec![0; MIB];
    for _ in 0..1024 {
        stream
            .compress_vec(&zeros, &mut bomb, FlushCompress::None)
            .unwrap();
    }
    stream
        .compress_vec(&[], &mut bomb, FlushCompress::Sync)
        .unwrap();
    assert_eq!(stream.total_in(), 1 << 30);
    assert!(bomb.len() < 2 * MIB);
    let mut bombs = Vec::new();
    for _ in 0..4 {
        let (mut raw, _) = open(&mut owner).await;
        let bomb = frame(0xc2, &bomb);
        bombs.push(tokio::spawn(async move {
            raw.send(&bomb).await;
            raw.closed().await.0
        }));
    }
    let mut most = 0;
    while bombs.iter().any(|bomb| !bomb.is_finished()) {
        other.send(&frame(0x81, echo("1").as_bytes())).await;
        assert_eq!(owner.next_of(0).handle, other_handle);
        most = most.max(owner.server.metrics().buffered);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for bomb in bombs {
        assert_eq!(bomb.await.unwrap(), Some(1009));
    }
    let allowed = 4 * (2 * max_payload + 256 * 1024) as u64;
    assert!(most <= allowed, "{most} > {allowed}");
    // Events of the last ends may still wait to be taken.
    while owner.next_within(Duration::from_secs(1)).is_some() {}
    wait_for(&owner.server, |it| it.buffered == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_inflates_counts_towards_the_bound_of_the_server() {
    const MIB: usize = 1 << 20;
    let mut owner = Owner::start(Config {
        max_payload: 256 * MIB,
        max_buffered_bytes: 16 * MIB,
        ..compressing()
    });
    let compressed = deflate(&vec![b' '; 250 * MIB]);
    let (mut raw, _) = open(&mut owner).await;
    raw.send(&frame(COMPRESSED, &compressed)).await;
    let fault = owner.next_of(FAULT);
    assert_eq!(fault.value["code"], json!("SLOW_CLIENT"));
    assert_eq!(raw.closed().await.0, None);
    wait_for(&owner.server, |it| it.buffered == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_that_shrink_are_compressed_and_others_are_not() {
    let mut owner = Owner::start(compressing());
    let (mut raw, handle) = open(&mut owner).await;
    let exact = |bytes: usize| format!("\"{}\"", "a".repeat(bytes - echo("\"\"").len()));
    let cases = [
        ("1".to_owned(), false),
        // The threshold is in bytes of the envelope.
        (exact(1023), false),
        (exact(1024), true),
        (text(5000), true),
        (text(200_000), true),
        (format!("\"{}\"", noise(20_000)), true),
    ];
    for (payload, compressed) in &cases {
        for many in [false, true] {
            let before = owner.server.metrics().bytes_out;
            owner.submit(|it| {
                if many {
                    it.broadcast(ECHO, Some(payload.as_bytes()));
                } else {
                    it.to(ECHO, Some(payload.as_bytes()), &[handle]);
                }
            });
            assert_eq!(next(&mut raw).await, (echo(payload), *compressed));
            // What leaves is counted as it leaves.
            wait_for(&owner.server, |it| it.queued == 0);
            let sent = owner.server.metrics().bytes_out - before;
            assert_eq!(sent < echo(payload).len() as u64, *compressed);
        }
    }
    let metrics = owner.server.metrics();
    assert_eq!((metrics.sent, metrics.written), (12, 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_shrink_leaves_as_it_is() {
    let mut owner = Owner::start_with(
        Config {
            compression: Some(Compression {
                threshold: 0,
                ..Compression::default()
            }),
            ..config()
        },
        zocket::Echo,
    );
    let mut raw = Raw::connect(&owner).await;
    raw.send(&request(OFFER)).await;
    raw.head().await;
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..100_000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect();
    for length in [0, 1, 2, 100, 65_535, 100_000] {
        raw.send(&frame(0x82, &noise[..length])).await;
        let answer = raw.next().await.unwrap();
        assert_eq!(answer.first, 0x82, "{length}");
        assert_eq!(answer.payload, noise[..length]);
        // The same length, but all alike.
        raw.send(&frame(0xc2, &deflate(&vec![7; length]))).await;
        let answer = raw.next().await.unwrap();
        let payload = if answer.first == 0xc2 {
            inflate(&answer.payload)
        } else {
            answer.payload
        };
        assert_eq!(
            (answer.first == 0xc2, payload),
            (length >= 100, vec![7; length])
        );
    }
    owner.stop(StopMode::Close);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_forbid_compression() {
    let mut owner = Owner::start(compressing());
    let (mut raw, handle) = open(&mut owner).await;
    let long = text(5000);
    let payload = Some(long.as_bytes());
    owner.submit(|it| {
        it.join(handle, b"room")
            .to(SECRET, payload, &[handle])
            .broadcast(ECHO, payload)
            .broadcast(SECRET, payload)
            .broadcast(ECHO, payload)
            .rooms(SECRET, payload, &[b"room"])
            .to(SECRET, payload, &[handle, handle]);
    });
    for (route, compressed) in [
        ("secret", false),
        ("echo", true),
        ("secret", false),
        ("echo", true),
        ("secret", false),
        ("secret", false),
    ] {
        let expected = echo(&long).replacen("echo", route, 1);
        assert_eq!(next(&mut raw).await, (expected, compressed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_compressed_too() {
    let mut owner = Owner::start(compressing());
    let (mut raw, _) = open(&mut owner).await;
    let name = "a".repeat(1000);
    raw.send(&frame(0x81, format!(r#"{{"type":"{name}"}}"#).as_bytes()))
        .await;
    let (answer, compressed) = next(&mut raw).await;
    assert!(answer.contains("NO_ROUTE") && compressed, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_many_is_compressed_once_for_each_window() {
    let mut owner = Owner::start(compressing());
    let mut clients = Vec::new();
    for bits in [15, 15, 15, 11, 11, 9] {
        let offers = format!("{OFFER}; server_max_window_bits={bits}");
        let (raw, _, answer) = open_with(&mut owner, &offers).await;
        assert!(
            answer
                .unwrap()
                .ends_with(&format!("server_max_window_bits={bits}"))
        );
        clients.push((raw, true));
    }
    clients.push((Raw::open(&mut owner).await.0, false));
    for (length, expected) in [
        // All windows but the smallest reach all of it.
        (1500, 2),
        (100_000, 3),
    ] {
        let long = text(length);
        let before = owner.server.metrics();
        owner.submit(|it| {
            it.broadcast(ECHO, Some(long.as_bytes()));
        });
        for (raw, compressed) in &mut clients {
            assert_eq!(next(raw).await, (echo(&long), *compressed));
        }
        wait_for(&owner.server, |it| it.queued == 0);
        let metrics = owner.server.metrics();
        assert_eq!(metrics.compressions - before.compressions, expected);
        assert_eq!(metrics.written - before.written, 7);
    }
    // Messages that are joined are compressed one by one, and once each.
    let before = owner.server.metrics().compressions;
    owner.submit(|it| {
        for n in 0..10 {
            let payload = if n % 2 == 0 {
                text(1200)
            } else {
                n.to_string()
            };
            it.broadcast(ECHO, Some(payload.as_bytes()));
        }
    });
    for (raw, compressed) in &mut clients {
        for n in 0..10 {
            let payload = if n % 2 == 0 {
                text(1200)
            } else {
                n.to_string()
            };
            let expected = (echo(&payload), *compressed && n % 2 == 0);
            assert_eq!(next(raw).await, expected);
        }
    }
    assert_eq!(owner.server.metrics().compressions - before, 10);
    wait_for(&owner.server, |it| it.buffered == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_window_is_kept_to() {
    let mut owner = Owner::start(compressing());
    for most in 9..=15 {
        let offers = format!("{OFFER}; server_max_window_bits={most}; client_max_window_bits");
        let (mut raw, handle, answer) = open_with(&mut owner, &offers).await;
        assert!(
            answer
                .unwrap()
                .ends_with(&format!("server_max_window_bits={most}"))
        );
        // What repeats only at a distance shrinks only if the window reaches that far.
        let part = noise(8000);
        let payload = format!("\"{part}{part}\"");
        owner.submit(|it| {
            it.to(ECHO, Some(payload.as_bytes()), &[handle]);
        });
        let ServerFrame {
            first,
            payload: got,
        } = raw.next().await.unwrap();
        assert_eq!(first, COMPRESSED);
        assert_eq!(
            got.len() < payload.len() * 3 / 5,
            most >= 14,
            "{most}: {}",
            got.len()
        );
        assert_eq!(inflate(&got), echo(&payload).as_bytes());
    }
    // The option bounds it, also where the client asks for nothing.
    let mut owner = Owner::start(Config {
        compression: Some(Compression {
            max_window_bits: 10,
            ..Compression::default()
        }),
        ..config()
    });
    for (parameters, expected) in [
        ("", ""),
        ("; server_max_window_bits=15", "; server_max_window_bits=10"),
        ("; server_max_window_bits=9", "; server_max_window_bits=9"),
        ("; client_max_window_bits", "; client_max_window_bits=10"),
    ] {
        let (_, _, answer) = open_with(&mut owner, &format!("{OFFER}{parameters}")).await;
        let always = "server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answer, Some(format!("{OFFER}; {always}{expected}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_and_counters_work_with_compressed_messages() {
    let limit = 256 * 1024;
    let mut owner = Owner::start(Config {
        max_backpressure: limit,
        slow_client: SlowClient::Drop,
        ..compressing()
    });
    let (mut raw, handle) = open(&mut owner).await;
    let (_plain, _) = Raw::open(&mut owner).await;
    owner.submit(|it| {
        it.join(handle, b"room");
    });
    // Some 64 KiB compressed, so that the socket fills up.
    let payload = format!("\"{}\"", noise(70_000));
    let payload = payload.as_bytes();
    for n in 0..400 {
        owner.submit(|it| {
            match n % 4 {
                0 => it.to(ECHO, Some(payload), &[handle]),
                1 => it.rooms(TICK, Some(payload), &[b"room"]),
                2 => it.rooms(STATE, Some(payload), &[b"room"]),
                _ => it.broadcast(ECHO, Some(payload)),
            };
        });
        let metrics = owner.server.metrics();
        assert_eq!(
            metrics.sent,
            metrics.written + metrics.queued + metrics.dropped
        );
    }
    wait_for(&owner.server, |it| it.sent == 500);
    let metrics = owner.server.metrics();
    assert!(metrics.dropped > 0, "{metrics:?}");
    // Two clients, two messages each past the limit, and the newest of `state`.
    let allowed = 2 * (limit + 3 * payload.len()) as u64;
    assert!(
        metrics.buffered <= allowed,
        "{} > {allowed}",
        metrics.buffered
    );
    let queued = metrics.queued;
    assert!(queued > 0);
    let mut got = 0;
    while owner.server.metrics().queued > queued / 2 {
        let (message, compressed) = next(&mut raw).await;
        assert!(compressed && message.len() > payload.len());
        got += 1;
    }
    assert!(got > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn backpressure_counts_what_is_compressed() {
    let mut owner = Owner::start(Config {
        max_backpressure: 64 * 1024,
        ..compressing()
    });
    let (mut raw, _) = open(&mut owner).await;
    // 100 times as much as may wait, and some KiB compressed.
    let payload = format!("\"{}\"", "a".repeat(64 * 1024));
    owner.submit(|it| {
        for _ in 0..100 {
            it.broadcast(ECHO, Some(payload.as_bytes()));
        }
    });
    for _ in 0..100 {
        assert_eq!(next(&mut raw).await, (echo(&payload), true));
    }
    assert_eq!(owner.server.metrics().dropped, 0);
}

#[test]
fn settings_that_no_stream_can_have_are_refused() {
    for (level, max_window_bits) in [(0, 15), (10, 15), (3, 8), (3, 16)] {
        let compression = Some(Compression {
            level,
            max_window_bits,
            ..Compression::default()
        });
        let config = Config {
            compression,
            ..config()
        };
        assert!(config.check().is_err(), "{level}, {max_window_bits}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_text_makes_the_way_in_and_out(
        words in prop::collection::vec("\\PC{0,200}|a{0,3000}", 0..20),
        fragment in 1..3000_usize,
        level in 1..=9_u8,
        bits in 9..=15_u8,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut owner = Owner::start(Config {
                compression: Some(Compression { threshold: 0, level, max_window_bits: bits }),
                ..config()
            });
            let (mut raw, handle, _) = open_with(&mut owner, OFFER).await;
            let value = json!(words);
            let compressed = deflate(echo(&value.to_string()).as_bytes());
            let count = compressed.chunks(fragment).count();
            for (at, part) in compressed.chunks(fragment).enumerate() {
                let opcode = if at == 0 { 0x41 } else { 0 };
                let end = if at + 1 == count { 0x80 } else { 0 };
                raw.send(&frame(opcode | end, part)).await;
            }
            assert_eq!(owner.next_of(0).value, value);
            owner.submit(|it| {
                it.to(ECHO, Some(value.to_string().as_bytes()), &[handle])
                    .broadcast(ECHO, Some(value.to_string().as_bytes()));
            });
            for _ in 0..2 {
                assert_eq!(next(&mut raw).await.0, echo(&value.to_string()));
            }
        });
    }
}
