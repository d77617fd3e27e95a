//! The envelope: the JSON object around every message.
//!
//! [`parse`] splits an incoming message into its type and its raw payload. It checks that the payload is JSON, and does not parse it.
//! [`encode_frame`] encodes an outgoing message with its frame header, so that all receivers get the same bytes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::frame::{
    TEXT,
    outgoing::{MAX_HEADER, push_header},
};

/// A parsed incoming message, borrowed from its text.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The `type`; `None` when it holds lone surrogates, which Rust text cannot, and no route's name does.
    pub kind: Option<Cow<'a, str>>,
    /// The `type` as it came: a JSON string, quotes included.
    pub raw_kind: &'a str,
    /// The raw JSON text of the payload, already checked to be JSON; `None` when the key is missing.
    pub payload: Option<&'a str>,
    /// The `id`.
    pub id: Id,
}

/// The `id` of a message: the number by which its sender knows the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Id {
    /// The message has none.
    #[default]
    Missing,
    /// A whole number from 0 to 2^53 − 1, written in digits alone.
    Number(u64),
    /// Something else.
    Unreadable,
}

impl Id {
    /// Reads the raw JSON text of an `id`.
    pub(crate) fn read(raw: &str) -> Self {
        // `parse` alone would take a sign.
        if !raw.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Unreadable;
        }
        raw.parse().map_or(Self::Unreadable, Self::of)
    }

    /// Checks a number.
    pub(crate) fn of(number: u64) -> Self {
        if number <= MAX_ID {
            Self::Number(number)
        } else {
            Self::Unreadable
        }
    }

    /// The number, if it is readable.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Missing | Self::Unreadable => None,
        }
    }
}

/// The largest `id`: the largest whole number that JavaScript holds exactly.
pub const MAX_ID: u64 = (1 << 53) - 1;

/// A message that is no envelope.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Bad {
    /// What is wrong with it.
    pub reason: BadEnvelope,
    /// Its `id`, if it is an object with exactly one, or has a whole binary head.
    pub id: Id,
}

impl From<BadEnvelope> for Bad {
    fn from(reason: BadEnvelope) -> Self {
        Self {
            reason,
            id: Id::Missing,
        }
    }
}

/// The reason why a message is not an envelope. Its text is the message of the `$error` reply. The peer is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadEnvelope {
    /// The text does not follow the JSON grammar.
    #[error("the message is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// The text is JSON, but something else than an object.
    #[error("the message is not a JSON object")]
    NotObject,
    /// The object has no `type`, or its `type` is not a string.
    #[error("the `type` of the message is missing or not a string")]
    NoType,
    /// The key stands there twice, and which one counts would be a guess.
    #[error("the message has more than one `{0}`")]
    Doubled(&'static str),
    /// The bytes of a binary message are not UTF-8.
    #[error("the message is not UTF-8")]
    NotUtf8,
    /// A binary message ends within its head.
    #[error("the head of the binary message is cut")]
    Cut,
    /// A binary message has a flag that does not exist.
    #[error("the binary message has an unknown flag")]
    Flags,
    /// The name in the head of a binary message is not UTF-8.
    #[error("the name in the binary message is not UTF-8")]
    NameNotUtf8,
}

/// Splits the text of one message into its type and its raw payload.
///
/// # Errors
///
/// When the text is not a JSON object with exactly one `type`, a string, and at most one `payload` and one `id`.
///
/// # Examples
///
/// ```
/// let envelope = zocket::message::envelope::parse(r#"{"type":"chat.message","payload":{"text":"hi"}}"#)?;
/// assert_eq!(envelope.kind.as_deref(), Some("chat.message"));
/// assert_eq!(envelope.payload, Some(r#"{"text":"hi"}"#));
/// # Ok::<(), zocket::message::envelope::Bad>(())
/// ```
pub fn parse(text: &str) -> Result<Envelope<'_>, Bad> {
    usual(text).map_or_else(|| parse_any(text), Ok)
}

/// The envelope as clients mostly write it: the `id` if there is one, the type, and then the payload, without spaces. `None` for any
/// other text. To read the keys one by one costs as much as the payload of a small message.
fn usual(text: &str) -> Option<Envelope<'_>> {
    const KEY: &str = r#""type":"#;
    let mut rest = text.strip_prefix('{')?;
    let mut id = Id::Missing;
    if let Some(numbered) = rest.strip_prefix(r#""id":"#) {
        let (digits, others) = numbered.split_once(',')?;
        // JSON has no number with a zero before it.
        if digits.is_empty() || (digits.starts_with('0') && digits != "0") {
            return None;
        }
        id = Id::Number(Id::read(digits).number()?);
        rest = others;
    }
    let kind = rest.strip_prefix(KEY)?.strip_prefix('"')?;
    let length = (kind.bytes()).position(|it| matches!(it, b'"' | b'\\' | 0..b' '))?;
    let value = kind[length..].strip_prefix(r#"","payload":"#)?;
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<&RawValue>();
    let payload = values.next()?.ok()?.get();
    (&value[values.byte_offset()..] == "}").then(|| Envelope {
        kind: Some(kind[..length].into()),
        raw_kind: &rest[KEY.len()..][..length + 2],
        payload: Some(payload),
        id,
    })
}

fn parse_any(text: &str) -> Result<Envelope<'_>, Bad> {
    if !text.trim_start_matches(JSON_WHITESPACE).starts_with('{') {
        // `IgnoredAny` is skipped without recursion, so deep nesting is harmless.
        return Err(match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => BadEnvelope::NotObject.into(),
            Err(error) => BadEnvelope::NotJson(error).into(),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer
        .deserialize_map(FieldsVisitor)
        .and_then(|fields| deserializer.end().map(|()| fields))
        .map_err(|error| Bad::from(BadEnvelope::NotJson(error)))?;
    let id = match fields.doubled {
        Some("id") => Id::Unreadable,
        _ => fields.id.map_or(Id::Missing, Id::read),
    };
    if let Some(key) = fields.doubled {
        let reason = BadEnvelope::Doubled(key);
        return Err(Bad { reason, id });
    }
    let raw_kind = fields.kind.filter(|kind| kind.starts_with('"'));
    let raw_kind = raw_kind.ok_or(Bad {
        reason: BadEnvelope::NoType,
        id,
    })?;
    Ok(Envelope {
        kind: decode_string(raw_kind),
        raw_kind,
        payload: fields.payload,
        id,
    })
}

const JSON_WHITESPACE: [char; 4] = [' ', '\n', '\r', '\t'];

/// The values that the visitor found, each as raw JSON text.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a str>,
    payload: Option<&'a str>,
    id: Option<&'a str>,
    doubled: Option<&'static str>,
}

/// Written by hand because the derived one takes a `null` payload for a missing one, and takes arrays.
struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        // Keys are read raw: decoding them would refuse lone surrogates in keys that are ignored anyway.
        while let Some(key) = map.next_key::<&'de RawValue>()? {
            let value = map.next_value::<&'de RawValue>()?.get();
            let (name, field) = match key.get() {
                r#""type""# => ("type", &mut fields.kind),
                r#""payload""# => ("payload", &mut fields.payload),
                r#""id""# => ("id", &mut fields.id),
                key if key.contains('\\') => match decode_string(key).as_deref() {
                    Some("type") => ("type", &mut fields.kind),
                    Some("payload") => ("payload", &mut fields.payload),
                    Some("id") => ("id", &mut fields.id),
                    _ => continue,
                },
                _ => continue,
            };
            // A doubled `id` is told before anything else: with it, nobody knows which call the message is about.
            if field.replace(value).is_some() && fields.doubled != Some("id") {
                fields.doubled = Some(name);
            }
        }
        Ok(fields)
    }
}

/// The text of a raw JSON string; `None` if it holds lone surrogates.
fn decode_string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

const PAYLOAD_KEY: &[u8] = br#","payload":"#;
const ID_KEY: &[u8] = br#","id":"#;

/// Appends one whole unmasked text frame to `out` and returns the frame's length.
///
/// `prefix` is the envelope up to and including its type (`{"type":"chat.message"`, see
/// [`Routes::prefix`](crate::message::routes::Routes::prefix)), `payload` is JSON text; without one the envelope has no
/// `payload` key.
pub fn encode_frame(out: &mut Vec<u8>, prefix: &[u8], payload: Option<&[u8]>) -> usize {
    encode(out, prefix, &[], payload)
}

/// The same with an `id`, if there is one, for the answer to a message.
pub fn encode_answer(
    out: &mut Vec<u8>,
    prefix: &[u8],
    id: Option<u64>,
    payload: Option<&[u8]>,
) -> usize {
    match id {
        Some(id) => {
            let mut buffer = itoa::Buffer::new();
            encode(out, prefix, buffer.format(id).as_bytes(), payload)
        }
        None => encode(out, prefix, &[], payload),
    }
}

#[inline]
fn encode(out: &mut Vec<u8>, prefix: &[u8], id: &[u8], payload: Option<&[u8]>) -> usize {
    let start = out.len();
    let ids = if id.is_empty() {
        0
    } else {
        ID_KEY.len() + id.len()
    };
    let payloads = payload.map_or(0, |payload| PAYLOAD_KEY.len() + payload.len());
    let length = prefix.len() + ids + payloads + 1;
    out.reserve(MAX_HEADER + length);
    push_header(out, TEXT, length);
    out.extend_from_slice(prefix);
    if !id.is_empty() {
        out.extend_from_slice(ID_KEY);
        out.extend_from_slice(id);
    }
    if let Some(payload) = payload {
        out.extend_from_slice(PAYLOAD_KEY);
        out.extend_from_slice(payload);
    }
    out.push(b'}');
    out.len() - start
}

#[cfg(test)]
mod tests;
