//! permessage-deflate in the handshake (RFC 7692, section 7.1): reads a client's offer, and writes the answer.
//!
//! No context is taken over from one message to the next, in either direction, so that a connection costs no memory. Clients
//! may always be told so, whether they offer it or not.

use std::fmt::{Display, Formatter, Result};

use crate::frame::deflate::Window;

/// The field of offers and answers, in lower case.
pub(crate) const FIELD: &str = "sec-websocket-extensions";

const NAME: &str = "permessage-deflate";

/// How both sides have agreed to compress messages. Its text is the value of the answer's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    window: Window,
    /// The client asked for a window, so it is told.
    is_window_asked: bool,
    /// The window that the client is asked for, if it can be and that changes something.
    client_window: Option<Window>,
}

impl Deflate {
    /// Accepts the first acceptable one of a client's offers, with windows up to `most`. What is unknown or malformed is passed
    /// over.
    #[must_use]
    pub fn accept(offers: &str, most: Window) -> Option<Self> {
        split(offers, ',').find_map(|offer| Offer::parse(offer)?.accept(most))
    }

    /// What the server's messages are compressed with.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }
}

impl Display for Deflate {
    fn fmt(&self, to: &mut Formatter<'_>) -> Result {
        write!(
            to,
            "{NAME}; server_no_context_takeover; client_no_context_takeover"
        )?;
        if self.is_window_asked {
            write!(to, "; server_max_window_bits={}", self.window.bits())?;
        }
        if let Some(window) = self.client_window {
            write!(to, "; client_max_window_bits={}", window.bits())?;
        }
        Ok(())
    }
}

/// One offer of a client.
#[derive(Debug, Default)]
struct Offer {
    has_server_takeover: bool,
    has_client_takeover: bool,
    server_bits: Option<u8>,
    /// The client can be asked for a window; it uses no more than so many bits anyway.
    client_bits: Option<u8>,
}

impl Offer {
    /// `None` if it is for something else, or breaks the grammar: each parameter is known, has a value that makes sense, and
    /// stands there once.
    fn parse(offer: &str) -> Option<Self> {
        let mut parts = split(offer, ';').map(trim);
        if parts.next()? != NAME {
            return None;
        }
        let mut parsed = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end_matches(BLANKS), Some(unquote(value)?)),
                None => (part, None),
            };
            let is_repeated = match (name, value) {
                ("server_no_context_takeover", None) => {
                    std::mem::replace(&mut parsed.has_server_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    std::mem::replace(&mut parsed.has_client_takeover, true)
                }
                ("server_max_window_bits", Some(value)) => {
                    parsed.server_bits.replace(bits(value)?).is_some()
                }
                ("client_max_window_bits", value) => {
                    let bits = value.map_or(Some(Window::MOST), bits)?;
                    parsed.client_bits.replace(bits).is_some()
                }
                _ => return None,
            };
            if is_repeated {
                return None;
            }
        }
        Some(parsed)
    }

    /// `None` if the client wants a window that zlib cannot compress with.
    fn accept(&self, most: Window) -> Option<Deflate> {
        let window = match self.server_bits {
            Some(bits) => Window::new(bits)?.min(most),
            None => most,
        };
        let is_larger = |bits| bits > most.bits();
        Some(Deflate {
            window,
            is_window_asked: self.server_bits.is_some(),
            client_window: self.client_bits.is_some_and(is_larger).then_some(most),
        })
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

fn trim(text: &str) -> &str {
    text.trim_matches(BLANKS)
}

/// Splits at a character, unless it is quoted.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match character {
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        character == at && !is_quoted
    })
}

/// A value without the quotes that it may have.
fn unquote(value: &str) -> Option<&str> {
    let value = trim(value);
    match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"'),
        None => Some(value),
    }
}

/// A number from 8 to 15, without leading zeros.
fn bits(value: &str) -> Option<u8> {
    let is_decimal = value.bytes().all(|byte| byte.is_ascii_digit());
    let bits = value.parse().ok()?;
    let is_right = is_decimal && !value.starts_with('0') && (8..=Window::MOST).contains(&bits);
    is_right.then_some(bits)
}

#[cfg(test)]
mod tests;
