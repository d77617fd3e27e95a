//! A certificate as PEM (RFC 7468).

use data_encoding::BASE64;

/// Characters in a line.
const LINE: usize = 64;

pub(super) fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = String::with_capacity(text.len() + text.len() / LINE + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(LINE) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
