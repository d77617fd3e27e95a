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
