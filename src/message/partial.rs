//! The part of a message that has arrived: text or bytes without their mask, in one piece of memory.

use crate::{frame::fault::Fault, message::protocol::Message};

/// Longest encoding of a character in UTF-8.
const MAX_CHARACTER: usize = 4;

/// A message under way, or one that is complete and waits to be taken.
#[derive(Debug)]
pub(crate) enum Partial {
    Text {
        text: String,
        /// The bytes of a character whose end has not arrived.
        cut: [u8; MAX_CHARACTER],
        cut_length: u8,
    },
    Binary(Vec<u8>),
}

impl Partial {
    pub(crate) fn new(is_text: bool) -> Self {
        if is_text {
            Self::Text {
                text: String::new(),
                cut: [0; MAX_CHARACTER],
                cut_length: 0,
            }
        } else {
            Self::Binary(Vec::new())
        }
    }

    /// Appends what has arrived of a message that has at most `most` bytes.
    ///
    /// # Errors
    /// When the text is not UTF-8, at the first byte that says so.
    pub(crate) fn extend(&mut self, bytes: &[u8], most: usize) -> Result<(), Fault> {
        match self {
            Self::Binary(binary) => {
                append(binary, bytes, most);
                Ok(())
            }
            Self::Text {
                text,
                cut,
                cut_length,
            } => {
                let arrived = bytes.len() + usize::from(*cut_length);
                text.reserve_exact(room(text.len(), text.capacity(), arrived, most));
                let rest = match cut_length {
                    0 => bytes,
                    _ => complete(text, cut, cut_length, bytes)?,
                };
                let (whole, start) = rest.split_at(rest.len() - cut_at_end(rest));
                text.push_str(str::from_utf8(whole).map_err(|_| Fault::NotUtf8)?);
                complete(text, cut, cut_length, start).map(|_| ())
            }
        }
    }

    /// Bytes so far, those of a character that is not complete included.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Text {
                text, cut_length, ..
            } => text.len() + usize::from(*cut_length),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Bytes of memory.
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Text { text, .. } => text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    /// # Errors
    /// When a text ends within a character.
    pub(crate) fn check_end(&self) -> Result<(), Fault> {
        match self {
            Self::Text {
                cut_length: 1.., ..
            } => Err(Fault::NotUtf8),
            _ => Ok(()),
        }
    }

    pub(crate) fn into_message(self) -> Message<'static> {
        match self {
            Self::Text { text, .. } => Message::Text(text.into()),
            Self::Binary(bytes) => Message::Binary(bytes.into()),
        }
    }
}

/// Appends what has arrived of something that has at most `most` bytes.
pub(crate) fn append(to: &mut Vec<u8>, bytes: &[u8], most: usize) {
    to.reserve_exact(room(to.len(), to.capacity(), bytes.len(), most));
    to.extend_from_slice(bytes);
}

/// How much to reserve for `arrived` more bytes. Memory grows with what has arrived, not with what is announced. It at
/// least doubles, so that it is seldom moved, but never passes the `most` that the message may have.
fn room(length: usize, capacity: usize, arrived: usize, most: usize) -> usize {
    if capacity - length >= arrived {
        return 0;
    }
    let doubled = capacity.saturating_mul(2).min(most);
    arrived.max(doubled.saturating_sub(length))
}

/// Appends bytes to the character that is cut, until it is complete; returns the rest of them.
fn complete<'a>(
    text: &mut String,
    cut: &mut [u8; MAX_CHARACTER],
    cut_length: &mut u8,
    mut bytes: &'a [u8],
) -> Result<&'a [u8], Fault> {
    while let [byte, rest @ ..] = bytes {
        let length = usize::from(*cut_length);
        cut[length] = *byte;
        bytes = rest;
        match str::from_utf8(&cut[..=length]) {
            Ok(character) => {
                text.push_str(character);
                *cut_length = 0;
                break;
            }
            // Four bytes are a character or none, so there is always room for one more.
            Err(error) if error.error_len().is_none() => *cut_length += 1,
            Err(_) => return Err(Fault::NotUtf8),
        }
    }
    Ok(bytes)
}

/// How many bytes at the end may be the start of a character that goes on: RFC 3629 3.
fn cut_at_end(bytes: &[u8]) -> usize {
    let starts = |byte: u8| match byte {
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
        _ => 0,
    };
    (1..MAX_CHARACTER)
        .zip(bytes.iter().rev())
        .find(|(length, byte)| starts(**byte) > *length)
        .map_or(0, |(length, _)| length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(is_text: bool, pieces: &[&[u8]], most: usize) -> Result<Partial, Fault> {
        let mut message = Partial::new(is_text);
        for piece in pieces {
            message.extend(piece, most)?;
            assert!(message.capacity() <= most);
        }
        message.check_end()?;
        Ok(message)
    }

    fn text(message: Partial) -> String {
        match message.into_message() {
            Message::Text(text) => text.to_string(),
            Message::Binary(_) => panic!("not text"),
        }
    }

    #[test]
    fn text_is_the_same_wherever_it_is_cut() {
        let whole = "aé€😀\u{0}\u{10ffff}é";
        let bytes = whole.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(text(collect(true, &pieces, bytes.len()).unwrap()), whole);
            }
        }
    }

    #[test]
    fn text_that_is_wrong_is_noticed_at_the_byte_that_says_so() {
        for wrong in [
            &b"a\xff"[..],
            b"\x80",
            b"\xc0",
            b"\xe0\x80",
            b"\xed\xa0",
            b"\xf0\x80",
            b"\xf4\x90",
            b"\xf5",
            b"\xe2\x82a",
            b"\xe2\xc3",
        ] {
            let (last, before) = wrong.split_last().unwrap();
            let mut message = Partial::new(true);
            for byte in before {
                message.extend(&[*byte], 100).unwrap();
            }
            assert_eq!(message.extend(&[*last], 100), Err(Fault::NotUtf8));
            let mut message = Partial::new(true);
            assert_eq!(message.extend(wrong, 100), Err(Fault::NotUtf8));
        }
        assert!(collect(true, &[b"a\xe2\x82"], 100).is_err());
    }

    #[test]
    fn memory_grows_with_what_has_arrived_and_never_past_the_most() {
        const MOST: usize = 1_000_000;
        for is_text in [false, true] {
            let mut message = Partial::new(is_text);
            let mut moves = 0;
            for arrived in (1000..=MOST).step_by(1000) {
                let before = message.capacity();
                message.extend(&[b'a'; 1000], MOST).unwrap();
                moves += u32::from(message.capacity() != before);
                assert!(message.capacity() <= MOST.min(2 * arrived));
            }
            assert_eq!(message.capacity(), MOST);
            assert!(moves <= 12, "{moves}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_text_if_they_are_utf8(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..16),
                ".{0,16}".prop_map(String::into_bytes),
            ],
            size in 1..5_usize,
        ) {
            let pieces: Vec<_> = bytes.chunks(size).collect();
            let collected = collect(true, &pieces, bytes.len()).ok().map(text);
            prop_assert_eq!(collected, String::from_utf8(bytes.clone()).ok());
            let binary = collect(false, &pieces, bytes.len()).unwrap().into_message();
            prop_assert!(matches!(binary, Message::Binary(it) if it == bytes));
        }
    }
}
