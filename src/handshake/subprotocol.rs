//! `Sec-WebSocket-Protocol`: selects the subprotocol, and reads the headers that our client puts there.
//!
//! This is the only header of an upgrade request that a page in a browser can set. So our client offers `zocket.1`, and also a
//! token that holds its headers. That keeps them out of URLs and access logs.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{headers::is_token, malformed::Malformed};

/// The subprotocol of our client: the envelopes, `$welcome`, `$refused`, `$ping` and `$pong`.
pub const ZOCKET: &str = "zocket.1";
/// Names that begin so are the library's.
pub const RESERVED: &str = "zocket.";
/// The start of the token that holds the client's headers.
const HEADERS: &[u8] = b"zocket.h.";
/// The field, in lower case. Nobody but this file sees its value: it may hold a secret.
pub(super) const PROTOCOL: &str = "sec-websocket-protocol";

/// The subprotocol that is spoken on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subprotocol {
    /// None, as the client offers none that is spoken here.
    None,
    /// The subprotocol of our client.
    Zocket,
    /// One of the owner's.
    Other(String),
}

impl Subprotocol {
    /// The name that the 101 has.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Zocket => Some(ZOCKET),
            Self::Other(name) => Some(name),
        }
    }
}

/// Headers that the client names in its subprotocol, in the order they stand there.
pub(super) type Claims = Vec<(String, String)>;

/// The result of a client's offer.
pub(super) struct Settled {
    pub(super) protocol: Subprotocol,
    pub(super) claims: Claims,
}

/// Reads the items of the field, and selects our own subprotocol, or else the first of `spoken` that is offered. What is
/// none of our names may be anything: other servers would not look at it either.
pub(super) fn settle<'a>(
    items: impl Iterator<Item = &'a [u8]> + Clone,
    spoken: &[String],
) -> Result<Settled, Malformed> {
    let all = items.clone();
    let is_offered = |name: &str| all.clone().any(|item| item == name.as_bytes());
    let mut tokens = items.filter_map(|item| item.strip_prefix(HEADERS));
    let token = tokens.next();
    if tokens.next().is_some() {
        return Err(Malformed::Tokens);
    }
    let is_ours = is_offered(ZOCKET);
    let claims = match token {
        Some(_) if !is_ours => return Err(Malformed::TokenAlone),
        Some(token) => decode(token).ok_or(Malformed::Token)?,
        None => Vec::new(),
    };
    let protocol = if is_ours {
        Subprotocol::Zocket
    } else {
        let first = spoken.iter().find(|name| is_offered(name));
        first.map_or(Subprotocol::None, |name| Subprotocol::Other(name.clone()))
    };
    Ok(Settled { protocol, claims })
}

/// Whether an owner may speak a subprotocol of this name: a token that is none of ours.
#[must_use]
pub fn is_subprotocol(name: &str) -> bool {
    is_token(name) && !name.starts_with(RESERVED)
}

/// The content of a token: unpadded base64url of a JSON object whose values are strings.
fn decode(token: &[u8]) -> Option<Claims> {
    let json = BASE64URL_NOPAD.decode(token).ok()?;
    let Pairs(claims) = serde_json::from_str(str::from_utf8(&json).ok()?).ok()?;
    Some(claims)
}

/// An object of strings, every pair of it.
struct Pairs(Claims);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                // Raw first, as that checks what reading bytes does not: control characters.
                while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                    let text = |raw: &RawValue| serde_json::from_str(raw.get());
                    let Text(name) = text(name).map_err(A::Error::custom)?;
                    let Text(value) = text(value).map_err(A::Error::custom)?;
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}

/// A string as JavaScript has them. Lone surrogates, which Rust's text cannot hold, become what they become in a query.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text, E> {
                let mut text = String::with_capacity(bytes.len());
                for chunk in bytes.utf8_chunks() {
                    text.push_str(chunk.valid());
                    // Of the three bytes that stand for a surrogate, each is a chunk.
                    if chunk.invalid().first() == Some(&0xed) {
                        text.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Ok(Text(text))
            }
        }

        deserializer.deserialize_bytes(TextVisitor)
    }
}

#[cfg(test)]
mod tests;
