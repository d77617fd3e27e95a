//! Escapes text for a JSON string in place: an owner hands over long texts as they are, because this is many times faster
//! here than in the owner's own serialiser.

/// How many bytes are looked at together; the compiler turns that into vector instructions.
const CHUNK: usize = 32;

/// Escapes the UTF-8 text `buffer[start..start + length]` exactly as `JSON.stringify` does, and returns its new length.
///
/// The text grows into what follows it. `None`, with nothing changed, if it does not fit into `buffer`: six times `length`
/// always does.
#[must_use]
pub fn escape_in_place(buffer: &mut [u8], start: usize, length: usize) -> Option<usize> {
    let mut rest = buffer.get(start..start.checked_add(length)?)?;
    let Some(mut special) = find_special(rest) else {
        return Some(length);
    };
    let mut out = Vec::with_capacity(length + length / 4);
    loop {
        out.extend_from_slice(&rest[..special]);
        push_escaped(&mut out, rest[special]);
        rest = &rest[special + 1..];
        let Some(next) = find_special(rest) else {
            break;
        };
        special = next;
    }
    out.extend_from_slice(rest);
    let space = buffer.get_mut(start..start.checked_add(out.len())?)?;
    space.copy_from_slice(&out);
    Some(out.len())
}

/// The place of the first byte that cannot stand in a JSON string.
fn find_special(text: &[u8]) -> Option<usize> {
    let mut passed = 0;
    for chunk in text.chunks(CHUNK) {
        // Without an early exit, so that it vectorises.
        if chunk
            .iter()
            .fold(false, |any, byte| any | is_special(*byte))
        {
            break;
        }
        passed += chunk.len();
    }
    let place = text[passed..].iter().position(|byte| is_special(*byte))?;
    Some(passed + place)
}

#[expect(
    clippy::needless_bitwise_bool,
    reason = "lazy operators branch, and keep the loop from vectorising"
)]
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut buffer = vec![b'#'; 3 + text.len() * 6 + 1];
        buffer[3..3 + text.len()].copy_from_slice(text.as_bytes());
        let length = escape_in_place(&mut buffer, 3, text.len()).unwrap();
        assert_eq!(&buffer[..3], b"###");
        String::from_utf8(buffer[3..3 + length].to_vec()).unwrap()
    }

    #[test]
    fn every_byte_that_needs_it_is_escaped_as_javascript_does() {
        assert_eq!(
            escaped("\u{0}\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f} \"/\\\u{7f}é\u{2028}😀"),
            "\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f \\\"/\\\\\u{7f}é\u{2028}😀"
        );
    }

    #[test]
    fn text_that_does_not_fit_stays_as_it_is() {
        let mut buffer = *b"a\nb";
        assert_eq!(escape_in_place(&mut buffer, 0, 3), None);
        assert_eq!(&buffer, b"a\nb");
        assert_eq!(escape_in_place(&mut buffer, 2, 1), Some(1));
        assert_eq!(escape_in_place(&mut buffer, 3, 0), Some(0));
        assert_eq!(escape_in_place(&mut buffer, 2, 2), None);
        assert_eq!(escape_in_place(&mut buffer, usize::MAX, 2), None);
    }

    proptest! {
        #[test]
        fn text_is_what_serde_json_makes_of_it(text in "[a-zé\\\\\"\u{0}-\u{1f}]{0,200}") {
            let expected = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(format!("\"{}\"", escaped(&text)), expected);
        }

        #[test]
        fn mostly_plain_text_is_too(text in "([a-z]{20,90}[\n\"é]){0,9}") {
            let expected = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(format!("\"{}\"", escaped(&text)), expected);
        }
    }
}
