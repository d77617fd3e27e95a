use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;

/// Compresses as a client does, with another implementation.
fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + 1024);
    let mut stream = Compress::new(Compression::new(6), false);
    stream
        .compress_vec(plain, &mut out, FlushCompress::Sync)
        .unwrap();
    assert_eq!(stream.total_in(), plain.len() as u64);
    assert_eq!(out.split_off(out.len() - 4), [0, 0, 0xff, 0xff]);
    out
}

/// What becomes of a message, and in how many turns.
fn inflate(
    compressed: &[u8],
    is_text: bool,
    max_payload: usize,
) -> (Result<Vec<u8>, Fault>, usize) {
    let mut inflating = Inflating::new(is_text);
    inflating.collect(compressed, usize::MAX);
    inflating.complete();
    let (mut idle, mut buffer) = (None, vec![0xaa; 64 * 1024]);
    for turns in 1.. {
        match inflating.inflate(&mut idle, &mut buffer, max_payload, &mut Turn::default()) {
            Ok(false) => assert!(idle.is_none()),
            Ok(true) => {
                assert!(idle.is_some());
                assert!(inflating.capacity() <= compressed.len().max(64) * 2 + max_payload);
                return match inflating.into_message() {
                    Message::Text(text) => (Ok(text.as_bytes().to_vec()), turns),
                    Message::Binary(bytes) => (Ok(bytes.to_vec()), turns),
                };
            }
            Err(fault) => return (Err(fault), turns),
        }
    }
    unreachable!()
}

#[test]
fn a_message_may_have_as_many_bytes_as_allowed_and_not_one_more() {
    for length in [0, 1, 1000, 65_535, 65_536, 65_537, 200_000] {
        let plain = vec![b'a'; length];
        let compressed = deflate(&plain);
        assert_eq!(inflate(&compressed, true, length).0, Ok(plain));
        if length > 0 {
            assert_eq!(
                inflate(&compressed, true, length - 1).0,
                Err(Fault::TooLarge)
            );
        }
    }
}

#[test]
fn a_stream_that_is_cut_off_or_goes_on_is_broken() {
    let plain: Vec<u8> = (0..2000_u32)
        .flat_map(|n| n.to_string().into_bytes())
        .collect();
    let compressed = deflate(&plain);
    for length in 0..compressed.len() {
        let (outcome, _) = inflate(&compressed[..length], false, 1 << 20);
        // A part of it may be a stream by chance, never the message.
        assert_ne!(outcome, Ok(plain.clone()), "{length}");
    }
    for broken in [
        &b""[..],
        &[0x06],
        &[0xff; 10],
        b"{\"type\":\"echo\"}",
        // A block of bytes as they are whose length is wrong.
        &[0, 5, 0, 0, 0, b'x'],
        // A repetition that points before the start.
        &[0x4b, 0x04, 0x12, 0x00],
    ] {
        assert_eq!(
            inflate(broken, false, 1 << 20).0,
            Err(Fault::NotDeflate),
            "{broken:x?}"
        );
    }
}

#[test]
fn a_last_block_may_come_before_the_end() {
    // RFC 7692, section 7.2.3.4: "Hello" in a last block, and an empty one behind it.
    let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(inflate(&hello, true, 5).0, Ok(b"Hello".to_vec()));
    // Some senders leave that out.
    assert_eq!(inflate(&hello[..7], true, 5).0, Ok(b"Hello".to_vec()));
    // Section 7.2.3.1, 7.2.3.3 and 7.2.3.5.
    let plain = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflate(&plain, true, 5).0, Ok(b"Hello".to_vec()));
    let stored = [
        0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
    ];
    assert_eq!(inflate(&stored, true, 5).0, Ok(b"Hello".to_vec()));
    let two = [
        0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
    ];
    assert_eq!(inflate(&two, true, 5).0, Ok(b"Hello".to_vec()));
    assert_eq!(inflate(&[0], true, 5).0, Ok(Vec::new()));
}

#[test]
fn text_is_checked_once_it_is_inflated() {
    let compressed = deflate("aé€😀".as_bytes());
    assert_eq!(inflate(&compressed, true, 100).0, Ok("aé€😀".into()));
    for wrong in [&b"a\xff"[..], b"\xe2\x82"] {
        assert_eq!(inflate(&deflate(wrong), true, 100).0, Err(Fault::NotUtf8));
        assert_eq!(inflate(&deflate(wrong), false, 100).0, Ok(wrong.to_vec()));
    }
}

#[test]
fn a_long_message_takes_several_turns() {
    let plain = vec![0; 64 << 20];
    let compressed = deflate(&plain);
    let (outcome, turns) = inflate(&compressed, false, plain.len());
    assert!(outcome == Ok(plain));
    assert!(turns > 3, "{turns}");
}

proptest! {
    #[test]
    fn what_another_implementation_compresses_is_inflated(
        plain in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..5000),
            prop::collection::vec(0..4_u8, 0..100_000),
        ],
    ) {
        let (outcome, _) = inflate(&deflate(&plain), false, plain.len());
        prop_assert_eq!(outcome, Ok(plain));
    }

    #[test]
    fn any_bytes_are_a_message_or_broken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (outcome, _) = inflate(&bytes, false, 10_000);
        prop_assert!(outcome.map_or(true, |plain| plain.len() <= 10_000));
    }
}
