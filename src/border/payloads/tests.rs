use proptest::prelude::*;

use super::*;
use crate::border::{handle::Handle, writer::CommandWriter};

fn with_payloads(commands: &[u8], text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_with_payloads(&mut out, commands, text);
    out
}

/// Commands with their payloads beside them, as an owner writes them that has strings of UTF-16.
#[derive(Default)]
struct Beside {
    commands: Vec<u8>,
    text: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Piece {
    Json(String),
    Text(String),
    Integer(i32),
    Double(f64),
    Bytes(Vec<u8>),
}

use Piece::{Bytes, Double, Integer, Json, Text as Raw};

impl Piece {
    fn written(&self) -> Vec<u8> {
        match self {
            Json(json) => json.clone().into(),
            Raw(text) => {
                let quoted = serde_json::to_string(text).unwrap();
                quoted[1..quoted.len() - 1].into()
            }
            Integer(number) => number.to_string().into(),
            Double(number) => ryu_js::Buffer::new().format(*number).into(),
            Bytes(bytes) => bytes.clone(),
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
                    payload.push(units | u32::from(matches!(piece, Raw(_))) << piece::SHIFT);
                    self.text.extend_from_slice(text.as_bytes());
                }
                Bytes(bytes) => {
                    let length = u32::try_from(bytes.len()).unwrap();
                    payload.push(length | piece::BYTES << piece::SHIFT);
                    self.text.extend_from_slice(bytes);
                }
                Integer(number) => payload.extend([2 << piece::SHIFT, number.cast_unsigned()]),
                Double(number) => {
                    let halves = number.to_le_bytes();
                    let (low, high) = halves.split_first_chunk::<4>().unwrap();
                    payload.push(3 << piece::SHIFT);
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
        with_payloads(&self.commands, &self.text)
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
    let lone = [6, 1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40];
    assert_eq!(with_payloads(&lone, b""), b"");
    // Fewer bytes than it says.
    let few = [6, 1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0x80];
    assert_eq!(with_payloads(&few, b"1"), b"");
}

#[test]
fn bytes_that_would_continue_a_text_are_left_for_the_next_payload() {
    for text in ["", "a", "é", "€", "😀", &"€".repeat(50)] {
        let mut beside = Beside::default();
        beside.push(&to(None), &[Raw(text.to_owned())]);
        beside.push(&to(None), &[Bytes(vec![0x80; 100])]);
        let (first, second) = (to(Some(text.as_bytes())), to(Some(&[0x80; 100])));
        assert_eq!(
            beside.put_together(),
            [first.bytes(), second.bytes()].concat()
        );
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    let text = || "[a-z\"\\\\\n\u{1}é€😀]{0,40}";
    prop_oneof![
        text().prop_map(Json),
        text().prop_map(Raw),
        any::<i32>().prop_map(Integer),
        (prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL).prop_map(Double),
        prop::collection::vec(any::<u8>(), 0..80).prop_map(Bytes),
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
            let payload: Vec<u8> = pieces.iter().flat_map(Piece::written).collect();
            let payload = (!pieces.is_empty()).then_some(&*payload);
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
