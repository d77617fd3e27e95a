//! Escapes text for JSON. The owner hands over text as it is, because escaping is many times faster here than in JavaScript.

/// Appends `text` as a JSON string literal, quotes included.
///
/// # Panics
///
/// Never: writing text into a vector cannot fail.
pub fn push_json_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text is always JSON and a vector takes every write");
}

/// Appends UTF-8 text as it stands in a JSON string, without the quotes, exactly as `JSON.stringify` does.
pub fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(special) = find_special(rest) {
        out.extend_from_slice(&rest[..special]);
        push_special(out, rest[special]);
        rest = &rest[special + 1..];
    }
    out.extend_from_slice(rest);
}

/// The place of the first byte that cannot stand in a JSON string.
fn find_special(text: &[u8]) -> Option<usize> {
    let mut clean = 0;
    clean += clean_chunks::<64>(text);
    clean += clean_chunks::<32>(&text[clean..]);
    let place = text[clean..].iter().position(|byte| is_special(*byte))?;
    Some(clean + place)
}

/// How many bytes come before the first chunk with a special one in it.
fn clean_chunks<const SIZE: usize>(text: &[u8]) -> usize {
    let (chunks, _) = text.as_chunks::<SIZE>();
    // Without an early exit, so that the compiler turns a chunk into a few vector instructions.
    let is_clean =
        |chunk: &&[u8; SIZE]| !(chunk.iter()).fold(false, |any, it| any | is_special(*it));
    SIZE * chunks.iter().take_while(is_clean).count()
}

#[expect(
    clippy::needless_bitwise_bool,
    reason = "lazy operators branch, and keep the loop from vectorising"
)]
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn push_special(out: &mut Vec<u8>, byte: u8) {
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
        let mut out = b"###".to_vec();
        push_escaped(&mut out, text.as_bytes());
        let out = String::from_utf8(out).unwrap();
        out.strip_prefix("###").unwrap().to_owned()
    }

    #[test]
    fn every_byte_that_needs_it_is_escaped_as_javascript_does() {
        assert_eq!(
            escaped("\u{0}\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f} \"/\\\u{7f}é\u{2028}😀"),
            "\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f \\\"/\\\\\u{7f}é\u{2028}😀"
        );
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
