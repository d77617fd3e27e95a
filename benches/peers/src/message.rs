//! The messages of the application: what is sent, and what must come back for it.

use crate::{
    Fault,
    dialect::{Around, Dialect},
    frame,
};

/// Numbers of messages have this many digits, so that every message has the same length.
pub(crate) const FIRST: u64 = 1_000_000_000;
const DIGITS: usize = 10;
/// Bytes of a payload around its text.
pub(crate) const SMALLEST: usize = r#"{"n":1000000000,"text":""}"#.len();

/// A message whose number changes and nothing else. The number may stand in several places.
#[derive(Debug)]
pub(crate) struct Template {
    text: Vec<u8>,
    /// Where the number stands in the text.
    numbers: Vec<usize>,
    /// The frame, masked, and where its content begins.
    frame: Vec<u8>,
    content: usize,
    /// Where the number stands in the content.
    places: Vec<usize>,
}

impl Template {
    /// A message; `extra` stands in the payload in front of the text.
    pub(crate) fn new(dialect: Dialect, name: &str, extra: &str, bytes: usize) -> Self {
        Self::around(&dialect.message(name), FIRST, extra, bytes)
    }

    /// A payload, which has `n` for its own number, and what stands around it.
    pub(crate) fn around(around: &Around, n: u64, extra: &str, bytes: usize) -> Self {
        let Around { before, after } = around;
        let filler = filler(bytes - SMALLEST);
        Self::of(&format!(
            "{before}{{\"n\":{n},{extra}\"text\":\"{filler}\"}}{after}"
        ))
    }

    /// A message of bytes: a head with the name, and so many bytes, which begin with the number.
    pub(crate) fn bytes(name: &str, bytes: usize) -> Self {
        let length = u16::try_from(name.len()).expect("a short name");
        let mut content = vec![0, 0];
        content.extend_from_slice(&length.to_be_bytes());
        content.extend_from_slice(name.as_bytes());
        content.extend_from_slice(FIRST.to_string().as_bytes());
        content.extend_from_slice(filler(bytes - DIGITS).as_bytes());
        // All of it is ASCII.
        Self::framed(frame::BINARY, &String::from_utf8_lossy(&content))
    }

    /// A text with [`FIRST`] wherever the number is to stand.
    pub(crate) fn of(text: &str) -> Self {
        Self::framed(frame::TEXT, text)
    }

    fn framed(opcode: u8, text: &str) -> Self {
        let first = FIRST.to_string();
        let numbers: Vec<usize> = text.match_indices(&first).map(|(at, _)| at).collect();
        let text = text.as_bytes().to_vec();
        let mut masked = Vec::new();
        frame::write(opcode, &text, &mut masked);
        Self {
            content: masked.len() - text.len(),
            frame: masked,
            places: numbers.clone(),
            numbers,
            text,
        }
    }

    /// The same message, sent compressed. The digits stand in a block of bytes as they are, so that they can be changed. The number
    /// has one place.
    pub(crate) fn compressed(self) -> Self {
        let (before, rest) = self.text.split_at(self.numbers[0]);
        let (digits, after) = rest.split_at(DIGITS);
        let mut content = deflate(before);
        content.extend_from_slice(&[0, 10, 0, 0xf5, 0xff]);
        let place = content.len();
        content.extend_from_slice(digits);
        content.extend_from_slice(&deflate(after));
        // RFC 7692: the end of the last block is not sent.
        content.truncate(content.len() - 4);
        let mut masked = Vec::new();
        frame::write(frame::COMPRESSED, &content, &mut masked);
        Self {
            content: masked.len() - content.len(),
            frame: masked,
            places: vec![place],
            ..self
        }
    }

    /// Appends message `number` as a frame.
    pub(crate) fn write(&self, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        for place in &self.places {
            let digits = &mut out[start + self.content + place..][..DIGITS];
            let mut left = FIRST + number;
            for (at, byte) in digits.iter_mut().enumerate().rev() {
                let digit = b'0' + u8::try_from(left % 10).expect("a digit");
                *byte = digit ^ frame::MASK[(place + at) % 4];
                left /= 10;
            }
        }
    }

    /// Message `number` as text.
    pub(crate) fn text(&self, number: u64) -> Vec<u8> {
        let mut text = self.text.clone();
        let digits = (FIRST + number).to_string();
        for at in &self.numbers {
            text[*at..at + DIGITS].copy_from_slice(digits.as_bytes());
        }
        text
    }

    /// The number of a message that must be this one byte for byte, the number aside.
    pub(crate) fn number(&self, text: &[u8]) -> Result<u64, Fault> {
        self.find(text)
            .ok_or_else(|| format!("expected {}, got {}", shown(&self.text), shown(text)).into())
    }

    fn find(&self, text: &[u8]) -> Option<u64> {
        let first = *self.numbers.first()?;
        let digits = text.get(first..first + DIGITS)?;
        if text.len() != self.text.len() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut from = 0;
        for at in &self.numbers {
            if text[from..*at] != self.text[from..*at] || text[*at..at + DIGITS] != *digits {
                return None;
            }
            from = at + DIGITS;
        }
        if text[from..] != self.text[from..] {
            return None;
        }
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
            .checked_sub(FIRST)
    }
}

/// Blocks that say what these bytes are, up to a whole byte.
fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    flate2::Compress::new(flate2::Compression::new(6), false)
        .compress_vec(bytes, &mut out, flate2::FlushCompress::Sync)
        .expect("there is room");
    out
}

/// Consecutive messages as the bytes a server sends to every member of a room, so that what one read
/// brings is compared in one go.
pub(crate) struct Stream {
    template: Template,
    /// Number of the first message in `bytes`.
    first: u64,
    bytes: Vec<u8>,
    /// Bytes of one frame: all have the same length.
    length: usize,
}

/// Messages that are over stay until there are this many, so that the rest is seldom moved.
const KEPT: u64 = 256;

impl Stream {
    pub(crate) fn new(template: Template) -> Self {
        let mut frame = Vec::new();
        frame::write_plain(&template.text, &mut frame);
        Self {
            length: frame.len(),
            template,
            first: 0,
            bytes: Vec::new(),
        }
    }

    /// Message `number`, the one after the last, exists from now on.
    pub(crate) fn push(&mut self, number: u64) {
        frame::write_plain(&self.template.text(number), &mut self.bytes);
    }

    /// Nobody waits for messages before `number` any more.
    pub(crate) fn forget(&mut self, number: u64) {
        if number - self.first >= KEPT {
            self.bytes.drain(..self.at(number));
            self.first = number;
        }
    }

    /// How many messages, from `number` on, stand whole and byte for byte at the front of `bytes`; 0
    /// also when they begin right and go on wrong.
    pub(crate) fn matching(&self, number: u64, bytes: &[u8]) -> usize {
        let expected = &self.bytes[self.at(number)..];
        let count = bytes.len().min(expected.len()) / self.length;
        let length = count * self.length;
        if bytes[..length] == expected[..length] {
            count
        } else {
            0
        }
    }

    /// Bytes of one message's frame.
    pub(crate) fn frame_length(&self) -> usize {
        self.length
    }

    fn at(&self, number: u64) -> usize {
        usize::try_from(number - self.first).expect("what is under way fits into memory")
            * self.length
    }
}

/// The start of a message, for people.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned()
}

/// Words of lower-case letters, the same at every run.
fn filler(length: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            // xorshift64: the text only has to be neither constant nor different from run to run.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b"abcdefghijklmnopqrstuvwxyz      "[usize::from(state.to_le_bytes()[4]) % 32] as char
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, MASK};

    #[test]
    fn a_message_has_the_size_asked_for_and_its_number_comes_back() {
        for bytes in [26, 64, 16_384] {
            let sent = Template::new(Dialect::Json, "echo", "", bytes);
            assert_eq!(
                sent.text.len() - r#"{"type":"echo","payload":}"#.len(),
                bytes
            );
            let mut out = Vec::new();
            sent.write(1_234_567, &mut out);
            // Without the mask it reads like a server's frame.
            let content = sent.content;
            for (at, byte) in out[content..].iter_mut().enumerate() {
                *byte ^= MASK[at % 4];
            }
            out[1] &= 0x7f;
            out.drain(content - 4..content);
            let mut left = out.as_slice();
            let Some(Frame::Text(text)) = frame::read(&mut left).unwrap() else {
                panic!("no text frame")
            };
            assert_eq!(sent.number(text).unwrap(), 1_234_567);
        }
    }

    #[test]
    fn a_compressed_message_is_the_same_message() {
        let sent = Template::new(Dialect::Json, "echo", "", 1024).compressed();
        let mut out = Vec::new();
        sent.write(1_234_567, &mut out);
        assert_eq!(out[0], 0xc1);
        for (at, byte) in out[sent.content..].iter_mut().enumerate() {
            *byte ^= MASK[at % 4];
        }
        let mut text = Vec::with_capacity(4096);
        flate2::Decompress::new(false)
            .decompress_vec(
                &out[sent.content..],
                &mut text,
                flate2::FlushDecompress::Sync,
            )
            .unwrap();
        assert_eq!(sent.number(&text).unwrap(), 1_234_567);
    }

    #[test]
    fn a_stream_counts_whole_messages_from_a_number_on() {
        let template = || Template::new(Dialect::Json, "news", "", 64);
        let mut stream = Stream::new(template());
        let mut sent = Vec::new();
        for number in 0..600 {
            stream.push(number);
            stream.forget(number.saturating_sub(3));
            if number >= 597 {
                frame::write_plain(&template().text(number), &mut sent);
            }
        }
        let length = stream.frame_length();
        assert_eq!(stream.matching(597, &sent), 3);
        assert_eq!(stream.matching(597, &sent[..2 * length + 5]), 2);
        assert_eq!(stream.matching(598, &sent), 0);
        assert_eq!(stream.matching(598, &sent[length..]), 2);
        assert_eq!(stream.matching(600, &sent), 0);
        sent[length - 1] = b']';
        assert_eq!(stream.matching(597, &sent), 0);
    }

    #[test]
    fn a_call_has_its_number_in_two_places_which_must_agree() {
        let (call, reply) = Dialect::Json.call();
        let sent = Template::around(&call, FIRST, "", 64);
        let text = String::from_utf8(sent.text(7)).unwrap();
        assert_eq!(text.matches("1000000007").count(), 2);
        let expected = Template::around(&reply, FIRST, "", 64);
        let mut text = expected.text(7);
        assert_eq!(expected.number(&text).unwrap(), 7);
        text[expected.numbers[1] + DIGITS - 1] = b'8';
        assert!(expected.number(&text).is_err());
    }

    #[test]
    fn a_message_of_bytes_has_a_head_and_its_number() {
        let sent = Template::bytes("blob", 64);
        assert_eq!(sent.text[..8], *b"\0\0\0\x04blob");
        assert_eq!(sent.text.len(), 8 + 64);
        assert_eq!(sent.frame[0], 0x82);
        assert_eq!(sent.number(&sent.text(5)).unwrap(), 5);
    }

    #[test]
    fn an_answer_that_differs_in_one_byte_is_a_fault() {
        let sent = Template::new(Dialect::Json, "echo", "", 64);
        let mut text = sent.text.clone();
        *text.last_mut().unwrap() = b']';
        assert!(sent.number(&text).is_err());
    }
}
