//! Puts payloads into commands. Some owners hand over the payloads as one text beside the commands.

use crate::{
    border::{
        codes::{
            opcode::{ANSWER, BROADCAST, ERROR, ROOMS, TO, TO_IDS},
            piece::{self, BYTES, DOUBLE, INTEGER, JSON, TEXT},
            word::OPCODE_BITS,
        },
        words::{Words, pad},
    },
    message::json::push_escaped,
};

/// Those of commands that have a payload.
const OPCODES: [u32; 6] = [TO, TO_IDS, ROOMS, BROADCAST, ERROR, ANSWER];
/// Bytes that are counted together; the compiler turns that into vector instructions.
const CHUNK: usize = 32;

/// Appends commands in their binary form, made of `commands` whose payloads are beside them: their text is in `text`, which
/// is UTF-8 but for payloads that are bytes, and numbers stand in the commands, so that they cost the owner no strings.
///
/// A payload is given by words in its place; bits 8 and up of the first word of its command are how many there are, none
/// for a command that has no payload or none to be put in, and the word for the payload's length has no meaning. Each
/// piece of the payload is a word whose three highest bits say what it is, and the others how long, in UTF-16 code units:
///
/// | bits | piece |
/// |---|---|
/// | 0 | JSON |
/// | 1 | text, to be escaped for the JSON string it stands in |
/// | 2 | a number: the next word, with a sign |
/// | 3 | a number: the next two words, the lower half of an IEEE 754 double first |
/// | 4 | bytes as they are; their length is in bytes |
///
/// The texts and bytes of all commands stand in `text`, in order. Numbers become what JavaScript makes of them.
///
/// Ends early, like [`Commands`](super::reader::Commands), at the first command that makes no sense.
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
    while let Some(word) = pieces.word() {
        let units = (word & ((1 << piece::SHIFT) - 1)) as usize;
        match word >> piece::SHIFT {
            JSON => out.extend_from_slice(text.take(units)?),
            TEXT => push_escaped(out, text.take(units)?),
            INTEGER => {
                let number = pieces.word()?.cast_signed();
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            DOUBLE => {
                let (low, high) = (pieces.word()?, pieces.word()?);
                let number = f64::from_bits(u64::from(high) << 32 | u64::from(low));
                if !number.is_finite() {
                    return None;
                }
                let mut buffer = ryu_js::Buffer::new();
                out.extend_from_slice(buffer.format_finite(number).as_bytes());
            }
            BYTES => out.extend_from_slice(text.take_bytes(units)?),
            _ => return None,
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

/// The rest of the text.
struct Text<'a> {
    bytes: &'a [u8],
    /// Then bytes and code units are the same. It is not known before somebody asks: bytes alone need not be looked at.
    ascii: Option<bool>,
}

impl<'a> Text<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, ascii: None }
    }

    /// The next so many UTF-16 code units.
    fn take(&mut self, units: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes;
        let length = if *self.ascii.get_or_insert_with(|| bytes.is_ascii()) {
            units
        } else {
            length(self.bytes, units)?
        };
        self.take_bytes(length)
    }

    /// The next so many bytes.
    fn take_bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }
}

/// How many bytes of UTF-8 text its first `units` code units of UTF-16 take; `None` if it has fewer. What follows may be bytes that
/// are not text.
fn length(text: &[u8], units: usize) -> Option<usize> {
    let mut left = units;
    let mut length = 0;
    for chunk in text.chunks_exact(CHUNK) {
        let counted = usize::from(chunk.iter().fold(0, |sum, byte| sum + begun(*byte)));
        // The end is looked for byte by byte.
        if counted >= left {
            break;
        }
        left -= counted;
        length += CHUNK;
    }
    if left == 0 {
        return Some(length);
    }
    for byte in &text[length..] {
        left = left.saturating_sub(begun(*byte).into());
        if left == 0 {
            // Also the bytes that continue the last character belong to it.
            return Some(length + taken(*byte)).filter(|end| *end <= text.len());
        }
        length += 1;
    }
    None
}

/// How many bytes of UTF-8 the character takes that begins with this one.
fn taken(byte: u8) -> usize {
    match byte {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}

/// How many code units of UTF-16 the character takes that begins with this byte of UTF-8.
fn begun(byte: u8) -> u8 {
    u8::from(byte & 0xc0 != 0x80) + u8::from(byte >= 0xf0)
}

#[cfg(test)]
mod tests;
