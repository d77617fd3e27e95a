//! Frames as a server writes them: without a mask.

use crate::frame::{CLOSE, CONTROL, FIN, LENGTH, LENGTH_16, LENGTH_64, PING, PONG};

/// The longest header: two bytes and the longest length.
pub(crate) const MAX_HEADER: usize = 2 + 8;

/// A ping without a payload.
pub(crate) const EMPTY_PING: [u8; 2] = [FIN | PING, 0];

/// A close frame without a code.
pub(crate) const EMPTY_CLOSE: [u8; 2] = [FIN | CLOSE, 0];

/// Appends the header of a frame that is a whole message, or a control frame.
pub(crate) fn push_header(out: &mut Vec<u8>, opcode: u8, length: usize) {
    out.push(FIN | opcode);
    // The shortest of the three forms of the length must be used.
    if let Ok(short @ 0..=125) = u8::try_from(length) {
        out.push(short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(LENGTH_16);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(LENGTH_64);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// The payload of a whole unmasked frame.
pub(crate) fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame.get(1).map(|second| second & LENGTH) {
        Some(LENGTH_16) => 4,
        Some(LENGTH_64) => 10,
        _ => 2,
    };
    frame.get(header..).unwrap_or_default()
}

/// A close frame (RFC 6455 5.5.1), for connections tungstenite must not be asked about again. `reason` is short.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    push_header(&mut frame, CLOSE, 2 + reason.len());
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

/// Whether this is a close frame.
pub(crate) fn is_close(frame: &[u8]) -> bool {
    frame.first() == Some(&(FIN | CLOSE))
}

/// Whether this is a pong.
pub(crate) fn is_pong(frame: &[u8]) -> bool {
    frame.first() == Some(&(FIN | PONG))
}

/// The content of a frame's header.
pub(crate) struct FrameHead {
    /// Bytes of the frame, its header included: at least one, and no more than there are.
    pub(crate) length: usize,
    /// It is the last frame of a message, and no control frame.
    pub(crate) ends_message: bool,
}

/// Reads the header of the unmasked frame (RFC 6455 5.2) that `bytes` begin with. Lengths are read here and not kept, as a
/// list of them would cost as much as many a small message.
pub(crate) fn first_frame(bytes: &[u8]) -> FrameHead {
    let [first, short, ..] = *bytes else {
        return FrameHead {
            length: 1,
            ends_message: false,
        };
    };
    let number = |width: usize| {
        let digits = bytes[2..].iter().take(width);
        digits.fold(0, |sum: u64, &byte| sum << 8 | u64::from(byte))
    };
    let (header, payload) = match short & LENGTH {
        LENGTH_16 => (4, number(2)),
        LENGTH_64 => (10, number(8)),
        short => (2, u64::from(short)),
    };
    let length = usize::try_from(payload).unwrap_or(usize::MAX);
    FrameHead {
        length: length.saturating_add(header).min(bytes.len()),
        ends_message: first & (FIN | CONTROL) == FIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_is_read_by_its_header() {
        let cases: [(&[u8], usize, bool); 9] = [
            (&[0x81, 0], 2, true),
            (&[0x82, 1, 9, 0x81, 0], 3, true),
            (&[0x89, 0], 2, false),
            (&[0x8a, 1, 9], 3, false),
            (&[0x01, 0], 2, false),
            (&[0x80, 0], 2, true),
            // No frame is longer than what is there, whatever it says.
            (
                &[0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255],
                10,
                true,
            ),
            (&[0x81, 126, 0], 3, true),
            (&[0x81], 1, false),
        ];
        for (bytes, length, ends_message) in cases {
            let head = first_frame(bytes);
            assert_eq!(
                (head.length, head.ends_message),
                (length, ends_message),
                "{bytes:?}"
            );
        }
    }
}
