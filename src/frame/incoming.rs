//! Follows the frames of one connection by their headers (RFC 6455 5.2).
//!
//! It checks a header as soon as its bytes are there. So the engine does not wait for the rest of a frame that breaks the protocol
//! or announces too much.

use crate::frame::{
    BINARY, CLOSE, COMPRESSED, CONTINUATION, CONTROL, FIN, LENGTH, LENGTH_16, LENGTH_64, MASK,
    MASKED, MAX_CONTROL, OPCODE, PONG, RESERVED, TEXT, deflate::longest_compressed, fault::Fault,
};

/// Two bytes, the longest length, and the mask.
const MAX_HEADER: usize = 2 + 8 + MASK;

/// Where a connection is within its frames and messages.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    header: [u8; MAX_HEADER],
    have: usize,
    /// Bytes of payload to come; `None` while the header is incomplete.
    left: Option<u64>,
    /// Bytes of the message under way in the fragments so far, the frame under way included; `None` between messages.
    message: Option<u64>,
    /// Whether the client may send compressed messages.
    may_compress: bool,
    /// The message under way is a compressed one.
    compressed: bool,
}

impl Frame {
    /// The start of a connection; whether its client may send compressed messages.
    pub(crate) fn new(may_compress: bool) -> Self {
        Self {
            may_compress,
            ..Self::default()
        }
    }

    /// Takes what `bytes` has of the header under way; how many bytes that is.
    ///
    /// # Errors
    /// When the header breaks the protocol, or its message would pass `max_payload`, at the first byte that says so.
    /// Nothing may be read after that.
    pub(crate) fn read_header(&mut self, bytes: &[u8], max_payload: usize) -> Result<usize, Fault> {
        let mut taken = 0;
        while self.left.is_none() {
            let need = self.header_length();
            if self.have == need {
                self.left = Some(self.announced(max_payload)?);
                break;
            }
            let n = (need - self.have).min(bytes.len() - taken);
            if n == 0 {
                break;
            }
            self.header[self.have..self.have + n].copy_from_slice(&bytes[taken..taken + n]);
            self.have += n;
            taken += n;
            if self.have >= 2 && self.is_broken() {
                return Err(Fault::Protocol);
            }
        }
        Ok(taken)
    }

    /// Whether the header is complete; only then the rest of the frame can be told.
    pub(crate) fn has_header(&self) -> bool {
        self.left.is_some()
    }

    pub(crate) fn header(&self) -> &[u8] {
        &self.header[..self.have]
    }

    pub(crate) fn is_control(&self) -> bool {
        self.header[0] & CONTROL != 0
    }

    /// Whether the frame ends the connection.
    pub(crate) fn is_close(&self) -> bool {
        self.header[0] & OPCODE == CLOSE
    }

    /// Whether the frame starts a text message.
    pub(crate) fn is_text(&self) -> bool {
        self.header[0] & OPCODE == TEXT
    }

    /// Whether its message ends with the frame.
    fn is_final(&self) -> bool {
        self.header[0] & FIN != 0
    }

    /// Whether the frame is a whole text message that is not compressed.
    pub(crate) fn is_whole_text(&self) -> bool {
        self.is_text() && self.is_final() && !self.compressed
    }

    /// Whether the frame belongs to a compressed message.
    pub(crate) fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// The most bytes that the message under way may have, as it comes.
    pub(crate) fn most(&self, max_payload: usize) -> usize {
        let most = self.limit(max_payload);
        match self.message {
            Some(whole) if self.is_final() => usize::try_from(whole).unwrap_or(most),
            _ => most,
        }
    }

    /// How many bytes a message may have as it comes. Compression can make a message a little longer.
    fn limit(&self, max_payload: usize) -> usize {
        if self.compressed {
            longest_compressed(max_payload)
        } else {
            max_payload
        }
    }

    /// Whether no message is under way.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.message.is_none()
    }

    /// Bytes of payload to come.
    pub(crate) fn left(&self) -> usize {
        let left = self.left.unwrap_or(0);
        // A header that announces more than memory can have is refused.
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// The mask of the payload that comes next.
    pub(crate) fn mask(&self) -> [u8; MASK] {
        let mut mask = [0; MASK];
        if let Some(key) = self.header().last_chunk::<MASK>() {
            mask = *key;
        }
        let passed = self.payload_length() - self.left.unwrap_or(0);
        mask.rotate_left(usize::try_from(passed % MASK as u64).unwrap_or(0));
        mask
    }

    /// Passes over payload; at its end the next frame is waited for. Whether that was the end.
    pub(crate) fn pass(&mut self, payload: usize) -> bool {
        let left = self.left.unwrap_or(0).saturating_sub(payload as u64);
        self.left = Some(left);
        if left > 0 {
            return false;
        }
        if !self.is_control() && self.is_final() {
            self.message = None;
        }
        self.have = 0;
        self.left = None;
        true
    }

    /// The length of the frame whose header is complete. A message is counted in all its frames.
    fn announced(&mut self, max_payload: usize) -> Result<u64, Fault> {
        let length = self.payload_length();
        if length > i64::MAX as u64 {
            return Err(Fault::Protocol);
        }
        if !self.is_control() {
            if self.message.is_none() {
                self.compressed = self.header[0] & COMPRESSED != 0;
            }
            let whole = self.message.unwrap_or(0).saturating_add(length);
            if whole > self.limit(max_payload) as u64 {
                return Err(Fault::TooLarge);
            }
            self.message = Some(whole);
        }
        Ok(length)
    }

    /// Whether the first two bytes are none a client may send here: RFC 6455 5.2 (reserved bits, opcodes), 5.1 (no
    /// mask), 5.4 (order of fragments), 5.5 (control frames are short and whole). RFC 7692 6 allows one of the reserved bits
    /// in the first frame of a message.
    fn is_broken(&self) -> bool {
        let [first, second, ..] = self.header;
        let starts_message = matches!(first & OPCODE, TEXT | BINARY);
        let allowed = if self.may_compress && starts_message {
            COMPRESSED
        } else {
            0
        };
        first & RESERVED & !allowed != 0
            || second & MASKED == 0
            || match first & OPCODE {
                CONTINUATION => self.message.is_none(),
                TEXT | BINARY => self.message.is_some(),
                CLOSE..=PONG => !self.is_final() || usize::from(second & LENGTH) > MAX_CONTROL,
                _ => true,
            }
    }

    fn header_length(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let extended = match self.header[1] & LENGTH {
            LENGTH_16 => 2,
            LENGTH_64 => 8,
            _ => 0,
        };
        2 + extended + MASK
    }

    fn payload_length(&self) -> u64 {
        let [_, _, length @ ..] = self.header;
        match self.header[1] & LENGTH {
            LENGTH_16 => u64::from(u16::from_be_bytes([length[0], length[1]])),
            LENGTH_64 => length[..8]
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
            short => u64::from(short),
        }
    }
}

/// Takes the mask off (RFC 6455 5.3).
pub(crate) fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes(std::array::from_fn(|at| mask[at % 4]));
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let mut whole = [0; 8];
        whole.copy_from_slice(word);
        word.copy_from_slice(&(u64::from_ne_bytes(whole) ^ wide).to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..126), _) => frame.push(MASKED | short),
            (_, Ok(middle)) => {
                frame.push(0xfe);
                frame.extend_from_slice(&middle.to_be_bytes());
            }
            _ => {
                frame.push(0xff);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + 4 + length, 0);
        frame
    }

    /// Follows all bytes, which end where a frame does; the first fault.
    fn follow(frame: &mut Frame, mut bytes: &[u8], limit: usize) -> Result<(), Fault> {
        while !bytes.is_empty() {
            bytes = &bytes[frame.read_header(bytes, limit)?..];
            if frame.has_header() {
                let length = frame.left().min(bytes.len());
                bytes = &bytes[length..];
                frame.pass(length);
            }
        }
        Ok(())
    }

    #[test]
    fn frames_end_where_they_say_in_pieces_of_any_size() {
        let lengths = [0, 1, 125, 126, 65535, 65536, 3];
        let bytes: Vec<u8> = lengths.iter().flat_map(|&n| frame(0x81, n)).collect();
        for size in [1, 2, 7, 512, 100_000] {
            let mut walk = Frame::default();
            let (mut at, mut ends) = (0, Vec::new());
            while at < bytes.len() {
                let piece = &bytes[at..bytes.len().min(at + size)];
                let header = walk.read_header(piece, 1 << 20).unwrap();
                let payload = walk.left().min(piece.len() - header);
                at += header + payload;
                if walk.has_header() && walk.pass(payload) {
                    ends.push(at);
                }
            }
            let expected = lengths.iter().scan(0, |end, &n| {
                *end += frame(0x81, n).len();
                Some(*end)
            });
            assert_eq!(ends, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn between_fragments_and_control_frames_a_message_is_still_under_way() {
        let mut walk = Frame::default();
        for (first, between) in [(0x01, false), (0x89, false), (0x00, false), (0x80, true)] {
            follow(&mut walk, &frame(first, 5), 100).unwrap();
            assert_eq!(walk.is_between_messages(), between);
        }
    }

    #[test]
    fn fragments_count_together_and_control_frames_not_at_all() {
        let fragments = [frame(0x01, 60), frame(0x89, 125), frame(0x00, 40)].concat();
        let mut walk = Frame::default();
        follow(&mut walk, &fragments, 100).unwrap();
        // The header says it; nothing of the payload has to come.
        for header in [&frame(0x00, 1)[..6], &frame(0x80, 500)[..8]] {
            let mut walk = Frame::default();
            follow(&mut walk, &fragments, 100).unwrap();
            assert_eq!(walk.read_header(header, 100), Err(Fault::TooLarge));
        }
        follow(&mut walk, &frame(0x80, 0), 100).unwrap();
        follow(&mut walk, &frame(0x82, 100), 100).unwrap();
        let header = &frame(0x82, 101)[..6];
        assert_eq!(walk.read_header(header, 100), Err(Fault::TooLarge));
    }

    #[test]
    fn the_mask_turns_with_the_payload() {
        let mut walk = Frame::default();
        let header = [0x82, MASKED | 0x0a, 1, 2, 3, 4];
        assert_eq!(walk.read_header(&header, 100), Ok(6));
        for (passed, mask) in [(0, [1, 2, 3, 4]), (3, [4, 1, 2, 3]), (6, [2, 3, 4, 1])] {
            walk.pass(passed);
            assert_eq!(walk.mask(), mask);
        }
    }

    #[test]
    fn a_mask_is_taken_off_whatever_the_length() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..40 {
            let plain: Vec<u8> = (0..length).collect();
            let mut bytes: Vec<u8> = plain
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, key)| byte ^ key)
                .collect();
            unmask(&mut bytes, mask);
            assert_eq!(bytes, plain);
        }
    }
}
