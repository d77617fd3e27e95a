//! Puts payloads into commands, for owners that hand them over beside the commands, as one text.

use std::ops::RangeInclusive;

use super::{Words, writer::pad};
use crate::escape::push_escaped;

/// Bits of a first word that hold the opcode; the others count the words of the payload.
const OPCODE_BITS: u32 = 8;
/// Where the bits begin that say what a piece is.
const KIND_SHIFT: u32 = 30;
/// Those of commands that have a payload.
const OPCODES: RangeInclusive<u32> = 6..=8;
/// Bytes that are counted together; the compiler turns that into vector instructions.
const CHUNK: usize = 32;

/// Appends commands in their binary form, made of `commands` whose payloads are beside them: their text is in `text`, which
/// is UTF-8, and numbers stand in the commands, so that they cost the owner no strings.
///
/// A payload is given by words in its place; bits 8 and up of the first word of its command are how many there are, none
/// for a command that has no payload or none to be put in, and the word for the payload's length has no meaning. Each
/// piece of the payload is a word whose two highest bits say what it is, and the others how long, in UTF-16 code units:
///
/// | bits | piece |
/// |---|---|
/// | 0 | JSON |
/// | 1 | text, to be escaped for the JSON string it stands in |
/// | 2 | a number: the next word, with a sign |
/// | 3 | a number: the next two words, the lower half of an IEEE 754 double first |
///
/// The texts of all commands stand in `text`, in order. Numbers become what JavaScript makes of them.
///
/// Ends early, like [`Commands`](super::Commands), at the first command that makes no sense.
pub fn write_with_payloads(out: &mut Vec<u8>, commands: &[u8], text: &[u8]) {
    // Lengths take the room that padding may need.
    out.reserve(commands.len() + text.len());
    let mut commands = Words(commands);
    let mut text = Text::new(text);
    while let Some(command) = commands.command() {
        let start = out.len();
        if push(out, command, &mut text).is_none() {
            out.truncate(start);
            break;
        }
    }
}

/// Appends one command; `None`, if it makes no sense.
fn push(out: &mut Vec<u8>, command: &[u8], text: &mut Text<'_>) -> Option<()> {
    let first = Words(command).word()?;
    let count = (first >> OPCODE_BITS) as usize;
    if count == 0 {
        out.extend_from_slice(command);
        return Some(());
    }
    let opcode = first & ((1 << OPCODE_BITS) - 1);
    if !OPCODES.contains(&opcode) {
        return None;
    }
    let (command, pieces) = command.split_at_checked(command.len().checked_sub(4 * count)?)?;
    let start = out.len();
    out.extend_from_slice(command);
    let payload = out.len();
    let mut pieces = Words(pieces);
    while let Some(piece) = pieces.word() {
        let units = (piece & ((1 << KIND_SHIFT) - 1)) as usize;
        match piece >> KIND_SHIFT {
            0 => out.extend_from_slice(text.take(units)?),
            1 => push_escaped(out, text.take(units)?),
            2 => {
                let number = pieces.word()?.cast_signed();
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            _ => {
                let (low, high) = (pieces.word()?, pieces.word()?);
                let number = f64::from_bits(u64::from(high) << 32 | u64::from(low));
                if !number.is_finite() {
                    return None;
                }
                let mut buffer = ryu_js::Buffer::new();
                out.extend_from_slice(buffer.format_finite(number).as_bytes());
            }
        }
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

    fn with_payloads(commands: &[u8], text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_with_payloads(&mut out, commands, text);
        out
    }

    /// Commands with their payloads beside them, as an owner writes them that has strings of UTF-16.
    #[derive(Default)]
    struct Beside {
        commands: Vec<u8>,
        text: String,
    }

    #[derive(Debug, Clone)]
    enum Piece {
        Json(String),
        Text(String),
        Integer(i32),
        Double(f64),
    }

    use Piece::{Double, Integer, Json, Text as Raw};

    impl Piece {
        fn json(&self) -> String {
            match self {
                Json(json) => json.clone(),
                Raw(text) => {
                    let quoted = serde_json::to_string(text).unwrap();
                    quoted[1..quoted.len() - 1].to_owned()
                }
                Integer(number) => number.to_string(),
                Double(number) => ryu_js::Buffer::new().format(*number).to_owned(),
            }
        }
    }

    impl Beside {
        /// Turns a command without a payload into one whose payload has these pieces.
        fn push(&mut self, command: &CommandWriter, pieces: &[Piece]) {
            let mut words = Words(command.bytes());
            let (first, length) = (words.word().unwrap(), words.word().unwrap());
            let mut payload = Vec::new();
            for piece in pieces {
                match piece {
                    Json(text) | Raw(text) => {
                        let units = u32::try_from(text.encode_utf16().count()).unwrap();
                        payload.push(units | u32::from(matches!(piece, Raw(_))) << KIND_SHIFT);
                        self.text.push_str(text);
                    }
                    Integer(number) => payload.extend([2 << KIND_SHIFT, number.cast_unsigned()]),
                    Double(number) => {
                        let halves = number.to_le_bytes();
                        let (low, high) = halves.split_first_chunk::<4>().unwrap();
                        payload.push(3 << KIND_SHIFT);
                        payload.push(u32::from_le_bytes(*low));
                        payload.push(u32::from_le_bytes(high.try_into().unwrap()));
                    }
                }
            }
            let count = u32::try_from(payload.len()).unwrap();
            self.words(&[first | count << OPCODE_BITS, length + count]);
            self.commands.extend_from_slice(words.0);
            self.words(&payload);
        }

        fn words(&mut self, words: &[u32]) {
            let bytes = words.iter().flat_map(|word| word.to_le_bytes());
            self.commands.extend(bytes);
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

    fn json(json: &str) -> Piece {
        Json(json.to_owned())
    }

    #[test]
    fn text_is_escaped_and_numbers_are_written() {
        let mut beside = Beside::default();
        let text = Raw("x\n\"ü".to_owned());
        let numbers = [json("\",\"b\":"), Integer(-7), json(","), Double(1e21)];
        beside.push(
            &to(None),
            &[&[json("{\"a\":\""), text], &numbers[..]].concat(),
        );
        let expected = "{\"a\":\"x\\n\\\"ü\",\"b\":-7,1e+21";
        assert_eq!(beside.put_together(), to(Some(expected.as_bytes())).bytes());
    }

    #[test]
    fn numbers_are_those_of_javascript() {
        for (number, expected) in [
            (0.1, "0.1"),
            (-0.0, "0"),
            (1_700_000_000_000.0, "1700000000000"),
            (1e-7, "1e-7"),
            (123e-20, "1.23e-18"),
            (1e20, "100000000000000000000"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            let mut beside = Beside::default();
            beside.push(&to(None), &[Double(number)]);
            assert_eq!(beside.put_together(), to(Some(expected.as_bytes())).bytes());
        }
    }

    #[test]
    fn what_makes_no_sense_ends_the_commands() {
        let mut beside = Beside::default();
        beside.push(&to(None), &[json("1")]);
        beside.push(&to(None), &[json("22")]);
        let whole = beside.put_together();
        let first = to(Some(b"1"));
        assert_eq!(with_payloads(&beside.commands, b"12"), first.bytes());
        assert_eq!(
            with_payloads(&beside.commands, "1é".as_bytes()),
            first.bytes()
        );
        let cut = &beside.commands[..beside.commands.len() - 4];
        assert_eq!(with_payloads(cut, b"122"), first.bytes());
        assert_eq!(with_payloads(&beside.commands, b"1223"), whole);
        for number in [f64::NAN, f64::INFINITY] {
            let mut beside = Beside::default();
            beside.push(&to(None), &[Integer(1)]);
            beside.push(&to(None), &[Double(number)]);
            assert_eq!(beside.put_together(), first.bytes());
        }

        let mut admit = CommandWriter::new();
        admit.admit(Handle(1));
        let mut beside = Beside::default();
        beside.push(&admit, &[json("1")]);
        assert_eq!(beside.put_together(), b"");
        // More pieces than words, and a number without one.
        assert_eq!(
            with_payloads(&[6, 0xff, 0xff, 0xff, 3, 0, 0, 0, 0, 0, 0, 0], b""),
            b""
        );
        let lone = [6, 1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80];
        assert_eq!(with_payloads(&lone, b""), b"");
    }

    fn piece() -> impl Strategy<Value = Piece> {
        let text = || "[a-z\"\\\\\n\u{1}é€😀]{0,40}";
        prop_oneof![
            text().prop_map(Json),
            text().prop_map(Raw),
            any::<i32>().prop_map(Integer),
            (prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL).prop_map(Double),
        ]
    }

    proptest! {
        #[test]
        fn any_pieces_arrive_escaped_and_in_order(
            all in prop::collection::vec(
                (0..3_u8, prop::collection::vec(piece(), 0..5)),
                0..6,
            ),
        ) {
            let mut beside = Beside::default();
            let mut expected = CommandWriter::new();
            for (kind, pieces) in all {
                let payload: String = pieces.iter().map(Piece::json).collect();
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
