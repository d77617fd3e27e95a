//! Escaping of long texts, for the buffer that commands are written into.

use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

/// Escapes the UTF-8 text at `start` for a JSON string, in place, as `JSON.stringify` does. Returns its new length in bytes;
/// `null`, with nothing changed, if the buffer has no room for it.
#[napi(catch_unwind)]
pub(crate) fn escape_json(mut buffer: BufferSlice<'_>, start: u32, length: u32) -> Option<u32> {
    let escaped = zocket::escape_in_place(&mut buffer, start as usize, length as usize)?;
    u32::try_from(escaped).ok()
}
