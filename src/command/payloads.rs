//! Puts payloads into commands, for owners that hand them over beside the commands, as one text.

use std::ops::RangeInclusive;

use super::{Words, writer::pad};
use crate::escape::push_escaped;

/// Bits of a first word that hold the opcode; the others count the pieces of the payload.
const OPCODE_BITS: u32 = 8;
/// Those of commands that have a payload.
const OPCODES: RangeInclusive<u32> = 6..=8;
/// Bytes that are counted together; the compiler turns that into vector instructions.
const CHUNK: usize = 32;

/// Commands in their binary form, made of `commands` whose payloads are in `text`, which is UTF-8.
///
/// A payload may come in pieces: JSON, then text that is to be escaped for the JSON string it stands in, then JSON
/// again, and so on. In a command of this form the bits of the first word from the ninth on are the number of pieces,
/// none for a command that has no payload or none to be put in; the word for the payload's length has no meaning; and
/// in the payload's place stands a word for each piece, its length in UTF-16 code units. The pieces of all commands
/// stand in `text`, in order.
///
/// Ends early, like [`Commands`](super::Commands), at the first command that makes no sense.
#[must_use]
pub fn with_payloads(commands: &[u8], text: &[u8]) -> Vec<u8> {
    // Lengths take the room that padding may need.
    let mut out = Vec::with_capacity(commands.len() + text.len());
    let mut commands = Words(commands);
    let mut text = Text::new(text);
    while let Some(command) = commands.command() {
        let start = out.len();
        if push(&mut out, command, &mut text).is_none() {
            out.truncate(start);
            break;
        }
    }
    out
}

/// Appends one command; `None`, if it makes no sense.
fn push(out: &mut Vec<u8>, command: &[u8], text: &mut Text<'_>) -> Option<()> {
    let first = Words(command).word()?;
    let pieces = (first >> OPCODE_BITS) as usize;
    if pieces == 0 {
        out.extend_from_slice(command);
        return Some(());
    }
    let opcode = first & ((1 << OPCODE_BITS) - 1);
    if !OPCODES.contains(&opcode) {
        return None;
    }
    let (command, lengths) = command.split_at_checked(command.len().checked_sub(4 * pieces)?)?;
    let start = out.len();
    out.extend_from_slice(command);
    let payload = out.len();
    let mut lengths = Words(lengths);
    let mut raw = false;
    while let Some(units) = lengths.word() {
        let piece = text.take(units as usize)?;
        if raw {
            push_escaped(out, piece);
        } else {
            out.extend_from_slice(piece);
        }
        raw = !raw;
    }
    let size = u32::try_from(out.len() - payload).ok()?;
    pad(out);
    let words = u32::try_from((out.len() - start) / 4).ok()?;
    let head = out.get_mut(start..start + 12)?;
    for (place, word) in head.chunks_exact_mut(4).zip([opcode, words, size]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    Some(())
}

/// What is left of the text.
struct Text<'a> {
    bytes: &'a [u8],
    /// Then bytes and code units are the same.
    ascii: bool,
}

impl<'a> Text<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            ascii: bytes.is_ascii(),
        }
    }

    /// The next so many UTF-16 code units.
    fn take(&mut self, units: usize) -> Option<&'a [u8]> {
        let length = if self.ascii {
            units
        } else {
            length(self.bytes, units)?
        };
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }
}

/// How many bytes of UTF-8 text its first `units` code units of UTF-16 take; `None` if it has fewer.
fn length(text: &[u8], units: usize) -> Option<usize> {
    let mut left = units;
    let mut length = 0;
    for chunk in text.chunks_exact(CHUNK) {
        let counted = usize::from(chunk.iter().fold(0, |sum, byte| sum + begun(*byte)));
        if counted > left {
            break;
        }
        left -= counted;
        length += CHUNK;
    }
    // Also the bytes that continue the last character belong to it.
    for byte in &text[length..] {
        let counted = usize::from(begun(*byte));
        if counted > 0 && left == 0 {
            return Some(length);
        }
        left = left.saturating_sub(counted);
        length += 1;
    }
    (left == 0).then_some(length)
}

/// How many code units of UTF-16 the character takes that begins with this byte of UTF-8.
fn begun(byte: u8) -> u8 {
    u8::from(byte & 0xc0 != 0x80) + u8::from(byte >= 0xf0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{command::CommandWriter, id::Handle};

    /// Commands with their payloads beside them, as an owner writes them that has strings of UTF-16.
    #[derive(Default)]
    struct Beside {
        commands: Vec<u8>,
        text: String,
    }

    impl Beside {
        /// Turns a command without a payload into one whose payload has these pieces.
        fn push(&mut self, command: &CommandWriter, pieces: &[String]) {
            let mut words = Words(command.bytes());
            let first = words.word().unwrap();
            let length = words.word().unwrap();
            let count = u32::try_from(pieces.len()).unwrap();
            self.word(first | count << OPCODE_BITS);
            self.word(length + count);
            self.commands.extend_from_slice(words.0);
            for piece in pieces {
                self.word(u32::try_from(piece.encode_utf16().count()).unwrap());
                self.text.push_str(piece);
            }
        }

        fn word(&mut self, word: u32) {
            self.commands.extend_from_slice(&word.to_le_bytes());
        }

        fn put_together(&self) -> Vec<u8> {
            with_payloads(&self.commands, self.text.as_bytes())
        }
    }

    fn to(payload: Option<&[u8]>) -> CommandWriter {
        let mut writer = CommandWriter::new();
        writer.to(3, payload, &[Handle(1), Handle(2)]);
        writer
    }

    fn pieces(pieces: &[&str]) -> Vec<String> {
        pieces.iter().map(|piece| (*piece).to_owned()).collect()
    }

    #[test]
    fn every_second_piece_is_escaped() {
        let mut beside = Beside::default();
        beside.push(
            &to(None),
            &pieces(&["{\"a\":\"", "x\n\"", "\",\"b\":\"", "ü", "\"}"]),
        );
        assert_eq!(
            beside.put_together(),
            to(Some("{\"a\":\"x\\n\\\"\",\"b\":\"ü\"}".as_bytes())).bytes()
        );
    }

    #[test]
    fn what_makes_no_sense_ends_the_commands() {
        let mut beside = Beside::default();
        beside.push(&to(None), &pieces(&["1"]));
        beside.push(&to(None), &pieces(&["22"]));
        let whole = beside.put_together();
        let first = to(Some(b"1"));
        assert_eq!(with_payloads(&beside.commands, b"12"), first.bytes());
        assert_eq!(
            with_payloads(&beside.commands, "1é".as_bytes()),
            first.bytes()
        );
        assert_eq!(
            with_payloads(&beside.commands[..beside.commands.len() - 4], b"122"),
            first.bytes()
        );
        assert_eq!(with_payloads(&beside.commands, b"1223"), whole);

        let mut admit = CommandWriter::new();
        admit.admit(Handle(1));
        let mut beside = Beside::default();
        beside.push(&admit, &pieces(&["1"]));
        assert_eq!(beside.put_together(), b"");
        // More pieces than words.
        assert_eq!(
            with_payloads(&[6, 0xff, 0xff, 0xff, 3, 0, 0, 0, 0, 0, 0, 0], b""),
            b""
        );
    }

    proptest! {
        #[test]
        fn any_pieces_arrive_escaped_and_in_order(
            all in prop::collection::vec(
                (0..3_u8, prop::collection::vec("[a-z\"\\\\\n\u{1}é€😀]{0,40}", 0..4)),
                0..6,
            ),
        ) {
            let mut beside = Beside::default();
            let mut expected = CommandWriter::new();
            for (kind, pieces) in all {
                let payload: String = pieces.iter().enumerate().map(|(at, piece)| {
                    let quoted = serde_json::to_string(piece).unwrap();
                    if at % 2 == 1 { quoted[1..quoted.len() - 1].to_owned() } else { piece.clone() }
                }).collect();
                let payload = (!pieces.is_empty()).then_some(payload.as_bytes());
                let write = |writer: &mut CommandWriter, payload: Option<&[u8]>| {
                    match kind {
                        0 => writer.to(1, payload, &[Handle(7)]),
                        1 => writer.rooms(2, payload, &[b"lobby", b"a"]),
                        _ => writer.broadcast(3, payload),
                    };
                };
                write(&mut expected, payload);
                let mut without = CommandWriter::new();
                write(&mut without, None);
                beside.push(&without, &pieces);
            }
            prop_assert_eq!(beside.put_together(), expected.bytes());
        }

        #[test]
        fn any_text_is_cut_where_a_naive_count_cuts_it(text in "[a-zé€😀]{0,100}", units in 0..220_usize) {
            let mut left = units;
            let mut expected = 0;
            for character in text.chars() {
                if left == 0 {
                    break;
                }
                left = left.saturating_sub(character.len_utf16());
                expected += character.len_utf8();
            }
            let expected = (left == 0).then_some(expected);
            prop_assert_eq!(length(text.as_bytes(), units), expected);
        }
    }
}
