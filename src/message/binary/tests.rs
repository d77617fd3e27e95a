use proptest::prelude::*;

use super::*;
use crate::{frame::outgoing, message::envelope::MAX_ID};

/// The payload of the frame that is encoded.
fn message(name: &str, id: Option<u64>, payload: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let length = encode_bytes(&mut out, name, id, payload);
    assert_eq!(out.len(), 6 + length);
    assert_eq!(out[6], 0x82);
    outgoing::payload(&out[6..]).to_vec()
}

fn complaint(message: &[u8]) -> (String, Id) {
    let bad = parse(message).unwrap_err();
    (bad.to_string(), bad.id)
}

#[test]
fn a_message_is_head_and_bytes() {
    assert_eq!(message("ab", None, b"{}"), b"\0\0\0\x02ab{}");
    assert_eq!(
        message("é", Some(258), b""),
        b"\0\x01\0\x02\xc3\xa9\0\0\0\0\0\0\x01\x02"
    );
    let head = parse(b"\0\0\0\x02ab{}").unwrap();
    assert_eq!((head.name, head.id, head.length), ("ab", Id::Missing, 6));
}

#[test]
fn json_and_nothing_carry_no_bytes() {
    for json in [&b""[..], b"{}", b" {}", b"\xef\xbb\xbf{}", b"\x01"] {
        assert!(!carries_bytes(json));
    }
    assert!(carries_bytes(&[0]));
}

#[test]
fn a_head_that_is_cut_anywhere_is_bad_and_has_no_id() {
    let whole = message("chat.upload", Some(7), b"");
    for length in 1..whole.len() {
        assert_eq!(
            complaint(&whole[..length]),
            ("the head of the binary message is cut".into(), Id::Missing)
        );
    }
    assert_eq!(parse(&whole).unwrap().id, Id::Number(7));
    // A length that lies.
    let (text, _) = complaint(b"\0\0\xff\xffab");
    assert_eq!(text, "the head of the binary message is cut");
}

#[test]
fn unknown_flags_and_a_name_that_is_not_text_are_bad_and_the_id_is_read() {
    let tail = [&[0; 7][..], &[9]].concat();
    for flags in 2..=u8::MAX {
        let message = [&[0, flags, 0, 1, b'a'], &*tail].concat();
        let id = if flags & 1 == 1 {
            Id::Number(9)
        } else {
            Id::Missing
        };
        let text = "the binary message has an unknown flag";
        assert_eq!(complaint(&message), (text.into(), id));
    }
    let message = [&[0, 1, 0, 1, 0xff], &*tail].concat();
    let text = "the name in the binary message is not UTF-8";
    assert_eq!(complaint(&message), (text.into(), Id::Number(9)));
}

#[test]
fn an_id_past_what_javascript_holds_is_unreadable() {
    for (id, read) in [
        (0, Id::Number(0)),
        (MAX_ID, Id::Number(MAX_ID)),
        (MAX_ID + 1, Id::Unreadable),
        (u64::MAX, Id::Unreadable),
    ] {
        assert_eq!(parse(&message("a", Some(id), b"")).unwrap().id, read);
    }
}

#[test]
fn a_name_may_have_65_535_bytes_and_is_cut_behind_them() {
    let most = "x".repeat(65_535);
    let longer = format!("{most}x");
    for name in [&most, &longer] {
        let message = message(name, None, b"1");
        assert_eq!(parse(&message).unwrap().name, most);
        assert_eq!(message.len(), 4 + 65_535 + 1);
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(
        name in ".{0,40}",
        id in prop::option::of(0..=MAX_ID),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let message = message(&name, id, &payload);
        let head = parse(&message).unwrap();
        prop_assert_eq!(head.name, name);
        prop_assert_eq!(head.id, id.map_or(Id::Missing, Id::Number));
        prop_assert_eq!(&message[head.length..], payload);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let message = [&[FIRST], &*bytes].concat();
        if let Ok(head) = parse(&message) {
            prop_assert!(head.length <= message.len());
        }
    }
}
