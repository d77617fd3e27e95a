//! Finds where a request head ends, and notices early that it never will.

/// Where the head ends, by what has arrived so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The head is this many bytes long, blank line included.
    At(usize),
    /// Everything so far may be the start of a head.
    NotYet,
    /// There is a byte no head may hold: a control character other than tab, or half a line break. Parsers disagree
    /// about those, which is what request smuggling lives on; and a TLS hello on a plain port ends here.
    Never,
}

pub(super) fn find_end(bytes: &[u8]) -> End {
    // RFC 9112, section 2.2: empty lines before the request line are to be ignored.
    let mut line = bytes.chunks(2).take_while(|pair| pair == b"\r\n").count() * 2;
    let mut at = line;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\r' => match bytes.get(at + 1) {
                None => return End::NotYet,
                Some(b'\n') if at == line && at > 0 => return End::At(at + 2),
                Some(b'\n') => {
                    at += 2;
                    line = at;
                    continue;
                }
                Some(_) => return End::Never,
            },
            b'\t' => {}
            byte if byte.is_ascii_control() => return End::Never,
            _ => {}
        }
        at += 1;
    }
    End::NotYet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_after_its_first_blank_line() {
        assert_eq!(find_end(b"a\r\nb\r\n\r\nrest\r\n\r\n"), End::At(8));
        assert_eq!(find_end(b"a\r\n\r\n\0\n"), End::At(5));
    }

    #[test]
    fn every_start_of_a_head_may_become_one() {
        let head = b"\r\n\r\nGET / HTTP/1.1\r\na: b\tc\xff\r\n\r\n";
        for length in 0..head.len() {
            assert_eq!(find_end(&head[..length]), End::NotYet, "{length}");
        }
        assert_eq!(find_end(head), End::At(head.len()));
    }

    #[test]
    fn blank_lines_before_the_request_line_are_no_end() {
        assert_eq!(find_end(b"\r\n\r\n\r\n"), End::NotYet);
        assert_eq!(find_end(b"\r\na\r\n\r\n"), End::At(7));
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
            assert_eq!(find_end(bytes), End::Never, "{bytes:?}");
        }
    }

    #[test]
    fn control_characters_are_noticed_at_once() {
        for byte in (0..=0x1f).chain([0x7f]) {
            let expected = if matches!(byte, b'\t' | b'\r') {
                End::NotYet
            } else {
                End::Never
            };
            assert_eq!(find_end(&[b'a', byte]), expected, "{byte}");
        }
        assert_eq!(find_end(b"\x16\x03\x01\x02\x00"), End::Never, "a TLS hello");
    }
}
