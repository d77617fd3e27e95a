//! What tungstenite reads from and writes to: the shard's scratch on the way in, the connection's
//! outbox on the way out. Never a socket.
//!
//! tungstenite's own reads are as long as a buffer that each connection keeps for ever, so the
//! socket is read into one large scratch per shard and served from there in small pieces.

use std::{
    io::{self, Read, Write},
    rc::Rc,
};

use crate::connection::Connection;

/// Bytes that have arrived for one connection and wait to be read by tungstenite.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

impl Arrived {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self { bytes, at: 0, end }
    }

    /// Lends the shard's scratch, of which `end` bytes are filled, until [`settle`](Self::settle).
    pub(crate) fn lend(&mut self, scratch: Vec<u8>, end: usize) {
        *self = Self {
            bytes: scratch,
            at: 0,
            end,
        };
    }

    /// Gives the buffer back and keeps only what has not been read.
    pub(crate) fn settle(&mut self) -> Vec<u8> {
        let rest = self.bytes[self.at..self.end].to_vec();
        std::mem::replace(self, Self::new(rest)).bytes
    }
}

/// Follows frame headers (RFC 6455 5.2) as bytes pass.
///
/// tungstenite keeps the memory of the largest frame it has read. Serving it one frame at a time
/// tells when it holds nothing, so that memory can be given back. It also finds fault with a frame
/// only once it has read all of it; here a header is enough, so that nobody who breaks the protocol
/// is waited for, or makes memory be set aside.
#[derive(Debug, Default)]
struct Frame {
    header: [u8; MAX_HEADER],
    have: usize,
    /// Bytes of payload to come; `None` while the header is incomplete.
    left: Option<u64>,
    /// A fragmented message is under way.
    fragmented: bool,
}

/// Two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

/// A header breaks the protocol.
#[derive(Debug)]
struct Broken;

impl Frame {
    /// How many of `bytes` belong to the frame under way; passes over them.
    ///
    /// # Errors
    /// When the header breaks the protocol, at the first byte that says so. Nothing may be passed after that.
    fn pass(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut passed = 0;
        while self.left.is_none() {
            let need = self.header_length();
            if self.have == need {
                let length = self.payload_length();
                if length > i64::MAX as u64 {
                    return Err(Broken);
                }
                self.left = Some(length);
                break;
            }
            let n = (need - self.have).min(bytes.len() - passed);
            if n == 0 {
                return Ok(passed);
            }
            self.header[self.have..self.have + n].copy_from_slice(&bytes[passed..passed + n]);
            self.have += n;
            passed += n;
            if self.have >= 2 && self.is_broken() {
                return Err(Broken);
            }
        }
        let left = self.left.unwrap_or(0);
        let rest = bytes.len() - passed;
        let n = usize::try_from(left).map_or(rest, |left| left.min(rest));
        passed += n;
        self.left = Some(left - n as u64);
        if left == n as u64 {
            self.finish();
        }
        Ok(passed)
    }

    /// Whether the first two bytes are none a client may send here: RFC 6455 5.2 (reserved bits, opcodes), 5.1 (no
    /// mask), 5.4 (order of fragments), 5.5 (control frames are short and whole).
    fn is_broken(&self) -> bool {
        let [first, second, ..] = self.header;
        let is_final = first & 0x80 != 0;
        first & 0x70 != 0
            || second & 0x80 == 0
            || match first & 0x0f {
                0 => !self.fragmented,
                1 | 2 => self.fragmented,
                8..=10 => !is_final || second & 0x7f > 125,
                _ => true,
            }
    }

    fn header_length(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let extended = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if self.header[1] & 0x80 == 0 { 0 } else { 4 }
    }

    fn payload_length(&self) -> u64 {
        let [_, _, length @ ..] = self.header;
        match self.header[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([length[0], length[1]])),
            127 => length[..8]
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
            short => u64::from(short),
        }
    }

    fn finish(&mut self) {
        let is_data = self.header[0] & 0x08 == 0;
        if is_data {
            self.fragmented = self.header[0] & 0x80 == 0;
        }
        self.have = 0;
        self.left = None;
    }

    fn is_between_messages(&self) -> bool {
        self.have == 0 && !self.fragmented
    }
}

/// One connection as tungstenite sees it.
pub(crate) struct Transport {
    pub(crate) arrived: Arrived,
    connection: Rc<Connection>,
    frame: Frame,
    /// The most that was missing of a frame after a read: what tungstenite has grown by.
    largest: u64,
}

impl Transport {
    pub(crate) fn new(connection: Rc<Connection>, arrived: Arrived) -> Self {
        Self {
            arrived,
            connection,
            frame: Frame::default(),
            largest: 0,
        }
    }

    /// Whether tungstenite is between two messages and has grown to more than `limit` bytes.
    pub(crate) fn has_outgrown(&self, limit: u64) -> bool {
        self.largest > limit && self.frame.is_between_messages()
    }
}

impl Read for Transport {
    /// Never more than to the end of a frame. A header that breaks the protocol is `InvalidData`.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = &self.arrived.bytes[self.arrived.at..self.arrived.end];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let rest = &rest[..rest.len().min(into.len())];
        let n = (self.frame.pass(rest)).map_err(|Broken| io::ErrorKind::InvalidData)?;
        into[..n].copy_from_slice(&rest[..n]);
        self.arrived.at += n;
        if let Some(left) = self.frame.left {
            // Its buffer has been grown for the whole frame by now.
            self.largest = self.largest.max(left);
        }
        Ok(n)
    }
}

impl Write for Transport {
    /// Takes the control frames tungstenite sends by itself; `write_buffer_size(0)` makes each
    /// call whole frames.
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        self.connection.push_control(frames);
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..126), _) => frame.push(0x80 | short),
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

    #[test]
    fn a_frame_is_passed_to_its_end_and_no_further_in_pieces_of_any_size() {
        let lengths = [0, 1, 125, 126, 65535, 65536, 3];
        let bytes: Vec<u8> = lengths.iter().flat_map(|&n| frame(0x81, n)).collect();
        for piece in [1, 2, 7, 512, 100_000] {
            let mut walk = Frame::default();
            let (mut at, mut ends) = (0, Vec::new());
            while at < bytes.len() {
                let n = walk.pass(&bytes[at..bytes.len().min(at + piece)]).unwrap();
                assert!(n > 0);
                at += n;
                if walk.is_between_messages() {
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
            walk.pass(&frame(first, 5)).unwrap();
            assert_eq!(walk.is_between_messages(), between);
        }
    }
}
