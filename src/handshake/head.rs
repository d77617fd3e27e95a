//! Finds where a request head ends, and notices early that it never will.

/// The longest request head in bytes, blank line included.
pub const MAX_HEAD: usize = 16 * 1024;
/// The most header fields a request may have.
pub const MAX_FIELDS: usize = 100;

/// Where the head ends, by what has arrived so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The head is this many bytes long, blank line included.
    At(usize),
    /// Everything so far may be the start of a head.
    NotYet,
    /// There are too many bytes or lines already.
    TooLarge,
    /// There is a byte no head may hold: a control character other than tab, or half a line break. Parsers disagree
    /// about those, which is what request smuggling lives on; and a TLS hello on a plain port ends here.
    Malformed,
}

pub(super) fn find_end(bytes: &[u8]) -> End {
    let bytes = &bytes[..bytes.len().min(MAX_HEAD)];
    // RFC 9112, section 2.2: an empty line before the request line is to be ignored.
    let mut line = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    // The request line, the fields and the blank line.
    for number in 0..MAX_FIELDS + 2 {
        let rest = &bytes[line..];
        let length = find_control(rest);
        match &rest[length..] {
            [] | [b'\r'] if bytes.len() < MAX_HEAD => return End::NotYet,
            [] | [b'\r'] => return End::TooLarge,
            [b'\r', b'\n', ..] => line += length + 2,
            _ => return End::Malformed,
        }
        match (length, number) {
            (0, 0) => return End::Malformed,
            (0, _) => return End::At(line),
            _ => {}
        }
    }
    End::TooLarge
}

/// How many bytes come before the first control character other than tab.
fn find_control(bytes: &[u8]) -> usize {
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    // Without a branch for each byte this becomes a few vector instructions, so that a client who sends a long head
    // byte by byte does not make the server read all of it slowly each time.
    let clean: usize = (bytes.chunks(32))
        .take_while(|chunk| !(chunk.iter()).fold(false, |found, byte| found | is_control(byte)))
        .map(<[u8]>::len)
        .sum();
    let rest = &bytes[clean..];
    clean + rest.iter().position(is_control).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
