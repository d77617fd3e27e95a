//! Binary messages, which carry bytes instead of JSON. A head says which message it is:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | [`FIRST`], which JSON never starts with |
//! | 1 | flags: with 1, an `id` follows the name |
//! | 2 | length of the name, the higher byte first |
//! | as many | the name: a route's, or `$reply`, `$item` or `$end` |
//! | 0 or 8 | the `id`, the highest byte first |
//!
//! All the rest is the payload.

use crate::{
    frame::{
        BINARY,
        outgoing::{MAX_HEADER, push_header},
    },
    message::envelope::{Bad, BadEnvelope, Id},
};

/// The first byte of a binary message that carries bytes.
pub const FIRST: u8 = 0;
/// The flag of a message with an `id`.
const WITH_ID: u8 = 1;
/// Bytes of the head around the name.
const AROUND: usize = 1 + 1 + 2 + 8;

/// The head of a binary message.
#[derive(Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The name of its route.
    pub name: &'a str,
    /// Its `id`.
    pub id: Id,
    /// Where its payload begins.
    pub length: usize,
}

/// Whether a binary message carries bytes.
#[must_use]
pub fn carries_bytes(message: &[u8]) -> bool {
    message.first() == Some(&FIRST)
}

/// Reads the head of a message that [carries bytes](carries_bytes).
///
/// # Errors
///
/// When the head is cut, its name is not UTF-8, or it has another flag. The `id` counts if the head is whole.
pub fn parse(message: &[u8]) -> Result<Head<'_>, Bad> {
    let cut = || Bad::from(BadEnvelope::Cut);
    let ([_, flags, high, low], rest) = message.split_first_chunk().ok_or_else(cut)?;
    let name_length = usize::from(u16::from_be_bytes([*high, *low]));
    let (name, rest) = rest.split_at_checked(name_length).ok_or_else(cut)?;
    let (id, payload) = if flags & WITH_ID == 0 {
        (Id::Missing, rest)
    } else {
        let (id, payload) = rest.split_first_chunk().ok_or_else(cut)?;
        (Id::of(u64::from_be_bytes(*id)), payload)
    };
    if flags & !WITH_ID != 0 {
        let reason = BadEnvelope::Flags;
        return Err(Bad { reason, id });
    }
    let name = str::from_utf8(name).map_err(|_| Bad {
        reason: BadEnvelope::NameNotUtf8,
        id,
    })?;
    Ok(Head {
        name,
        id,
        length: message.len() - payload.len(),
    })
}

/// Appends one whole unmasked binary frame to `out` and returns the frame's length. A name has at most 65,535 bytes; a longer one
/// is cut.
pub fn encode_bytes(out: &mut Vec<u8>, name: &str, id: Option<u64>, payload: &[u8]) -> usize {
    let start = out.len();
    let name_length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    let name = &name.as_bytes()[..name_length.into()];
    let ids = if id.is_some() { 8 } else { 0 };
    out.reserve(MAX_HEADER + AROUND + name.len() + payload.len());
    push_header(out, BINARY, AROUND - 8 + name.len() + ids + payload.len());
    out.extend_from_slice(&[FIRST, if id.is_some() { WITH_ID } else { 0 }]);
    out.extend_from_slice(&name_length.to_be_bytes());
    out.extend_from_slice(name);
    if let Some(id) = id {
        out.extend_from_slice(&id.to_be_bytes());
    }
    out.extend_from_slice(payload);
    out.len() - start
}

#[cfg(test)]
mod tests;
