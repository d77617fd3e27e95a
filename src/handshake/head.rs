//! Finds where a request head ends, and notices early that it never will.

use super::{MAX_FIELDS, MAX_HEAD};

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
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_after_its_first_blank_line() {
        assert_eq!(find_end(b"a\r\nb\r\n\r\nrest\r\n\r\n"), End::At(8));
        assert_eq!(find_end(b"a\r\n\r\n\0\n"), End::At(5));
        for length in 1..100 {
            let head = [&b"x".repeat(length), &b"\r\n\r\n"[..]].concat();
            assert_eq!(find_end(&head), End::At(length + 4));
        }
    }

    #[test]
    fn every_start_of_a_head_may_become_one() {
        let head = b"\r\nGET / HTTP/1.1\r\na: b\tc\xff\r\n\r\n";
        for length in 0..head.len() {
            assert_eq!(find_end(&head[..length]), End::NotYet, "{length}");
        }
        assert_eq!(find_end(head), End::At(head.len()));
    }

    #[test]
    fn one_blank_line_before_the_request_line_is_no_end() {
        assert_eq!(find_end(b"\r\na\r\n\r\n"), End::At(7));
        assert_eq!(find_end(b"\r\n\r"), End::NotYet);
        assert_eq!(find_end(b"\r\n\r\n"), End::Malformed);
    }

    #[test]
    fn half_a_line_break_is_noticed_at_once() {
        for bytes in [
            &b"a\n"[..],
            b"\n",
            b"a\rb",
            b"a\r\r\n",
            b"\r\r",
            b"a\r\nb\n\r\n",
            b"\r\n\n",
        ] {
            assert_eq!(find_end(bytes), End::Malformed, "{bytes:?}");
        }
    }

    #[test]
    fn control_characters_are_noticed_at_once() {
        for byte in (0..=0x1f).chain([0x7f]) {
            let expected = match byte {
                b'\t' | b'\r' => End::NotYet,
                _ => End::Malformed,
            };
            assert_eq!(find_end(&[b'a', byte]), expected, "{byte}");
        }
        assert_eq!(
            find_end(b"\x16\x03\x01\x02\x00"),
            End::Malformed,
            "a TLS hello"
        );
    }

    #[test]
    fn bytes_and_lines_are_counted_before_the_end_has_come() {
        let line = b"x".repeat(MAX_HEAD);
        assert_eq!(find_end(&line[1..]), End::NotYet);
        assert_eq!(find_end(&line), End::TooLarge);
        let lines = b"x\r\n".repeat(MAX_FIELDS + 2);
        assert_eq!(find_end(&lines[3..]), End::NotYet);
        assert_eq!(find_end(&lines), End::TooLarge);
    }
}
