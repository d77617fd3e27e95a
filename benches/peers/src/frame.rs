//! RFC 6455 frames as a client writes and reads them.

use crate::Fault;

/// Opcodes of the frames of messages.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
/// A text frame with the bit that says that the text is compressed.
pub(crate) const COMPRESSED: u8 = TEXT | 0x40;
const CLOSE: u8 = 8;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Lengths from here on stand in two bytes, or, with the next number, in eight.
const SHORT: u8 = 126;

/// Masks what this generator sends. One key for all: servers cannot tell, and it costs nothing.
pub(crate) const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Appends a text frame as a server sends it.
pub(crate) fn write_plain(text: &[u8], out: &mut Vec<u8>) {
    write_head(TEXT, 0, text.len(), out);
    out.extend_from_slice(text);
}

fn write_head(opcode: u8, masked: u8, length: usize, out: &mut Vec<u8>) {
    out.push(FINAL | opcode);
    if let Some(short) = u8::try_from(length).ok().filter(|it| *it < SHORT) {
        out.push(masked | short);
    } else if let Ok(long) = u16::try_from(length) {
        out.push(masked | SHORT);
        out.extend_from_slice(&long.to_be_bytes());
    } else {
        out.push(masked | (SHORT + 1));
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Appends one masked frame.
pub(crate) fn write(opcode: u8, text: &[u8], out: &mut Vec<u8>) {
    write_head(opcode, MASKED, text.len(), out);
    out.extend_from_slice(&MASK);
    out.extend(
        text.iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}

/// One frame as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Text(&'a [u8]),
    Binary(&'a [u8]),
    /// A compressed text.
    Compressed(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
}

/// Cuts one frame off the front of `bytes`; `None` while it is incomplete.
pub(crate) fn read<'a>(bytes: &mut &'a [u8]) -> Result<Option<Frame<'a>>, Fault> {
    let &[first, second, ref rest @ ..] = *bytes else {
        return Ok(None);
    };
    let (length, rest) = match second {
        126 => match rest.split_first_chunk::<2>() {
            Some((length, rest)) => (usize::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((length, rest)) => (usize::try_from(u64::from_be_bytes(*length))?, rest),
            None => return Ok(None),
        },
        128.. => return Err("the server sent a masked frame".into()),
        short => (usize::from(short), rest),
    };
    let Some((content, rest)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    *bytes = rest;
    match first {
        0x81 => Ok(Some(Frame::Text(content))),
        0x82 => Ok(Some(Frame::Binary(content))),
        0xc1 => Ok(Some(Frame::Compressed(content))),
        0x89 => Ok(Some(Frame::Ping(content))),
        0x8a => Ok(Some(Frame::Pong)),
        0x88 => Err(format!(
            "the server closed: {}",
            String::from_utf8_lossy(content.get(2..).unwrap_or_default())
        )
        .into()),
        _ => Err(format!("a frame that starts with {first:#04x}").into()),
    }
}

/// Appends a close frame with code 1000.
pub(crate) fn write_close(out: &mut Vec<u8>) {
    write(CLOSE, &1000_u16.to_be_bytes(), out);
}

/// Appends the pong that answers a ping.
pub(crate) fn write_pong(content: &[u8], out: &mut Vec<u8>) {
    write(PONG, content, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_off_one_by_one_and_incomplete_ones_wait() {
        let long = vec![b'x'; 300];
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x89, 0, 0x81, 126, 1, 44];
        bytes.extend_from_slice(&long);
        let mut left = bytes.as_slice();
        assert_eq!(read(&mut left).unwrap(), Some(Frame::Text(b"hi")));
        assert_eq!(read(&mut left).unwrap(), Some(Frame::Ping(b"")));
        let mut cut = &left[..left.len() - 1];
        assert_eq!(read(&mut cut).unwrap(), None);
        assert_eq!(read(&mut left).unwrap(), Some(Frame::Text(&long)));
        assert!(left.is_empty());
    }

    #[test]
    fn what_is_written_is_masked() {
        let mut out = Vec::new();
        write(TEXT, b"abc", &mut out);
        assert_eq!(out[..6], [0x81, 0x83, 0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(out[6..], [b'a' ^ 0x37, b'b' ^ 0xfa, b'c' ^ 0x21]);
    }
}
