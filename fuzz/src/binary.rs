//! Any head of a binary message is read, or refused, as its table says, and what is encoded is read back.

use zocket::message::{
    binary::{carries_bytes, encode_bytes, parse},
    envelope::Id,
};

use super::memory;

/// Bytes that are held besides a copy of what is written.
const SOME: usize = 256;

pub fn run(bytes: &[u8]) {
    memory::alone(|| check(bytes));
}

fn check(bytes: &[u8]) {
    if !carries_bytes(bytes) {
        assert_ne!(bytes.first(), Some(&0));
        return;
    }
    // Reading copies nothing.
    let parsed = memory::at_most(0, || parse(bytes));
    let head = match (parsed, read(bytes)) {
        (Ok(head), Some((0 | 1, name, id, length))) => {
            assert_eq!(head.name.as_bytes(), name);
            assert_eq!((head.id, head.length), (id, length));
            head
        }
        (Err(bad), Some((flags, name, id, _))) => {
            assert!(flags > 1 || str::from_utf8(name).is_err());
            assert_eq!(bad.id, id);
            return;
        }
        (Err(bad), None) => {
            assert_eq!(bad.id, Id::Missing);
            return;
        }
        (Ok(_), _) => panic!("a head that is wrong was read"),
    };
    if head.id == Id::Unreadable {
        return;
    }
    let payload = &bytes[head.length..];
    let mut frame = Vec::new();
    memory::at_most(bytes.len() + SOME, || {
        let length = encode_bytes(&mut frame, head.name, head.id.number(), payload);
        assert_eq!(length, frame.len());
    });
    assert!(frame.ends_with(bytes));
}

/// The flags, the name, the id and the length of a head, read slowly.
fn read(bytes: &[u8]) -> Option<(u8, &[u8], Id, usize)> {
    let flags = *bytes.get(1)?;
    let end = 4 + usize::from(*bytes.get(2)?) * 256 + usize::from(*bytes.get(3)?);
    let name = bytes.get(4..end)?;
    if flags & 1 == 0 {
        return Some((flags, name, Id::Missing, end));
    }
    let digits = bytes.get(end..end + 8)?;
    let number = digits
        .iter()
        .fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
    let id = if number < 1 << 53 {
        Id::Number(number)
    } else {
        Id::Unreadable
    };
    Some((flags, name, id, end + 8))
}
