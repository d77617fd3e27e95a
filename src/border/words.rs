//! Reads and writes the words of commands.

use crate::{
    border::{
        codes::{limit::MAX_OUTGOING, word::NO_PAYLOAD},
        handle::Handle,
    },
    rooms::MAX_ROOM_NAME,
};

/// The rest of one command, or of several.
pub(crate) struct Words<'a>(pub(crate) &'a [u8]);

impl<'a> Words<'a> {
    pub(crate) fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*word))
    }

    /// Two words, the lower half first.
    pub(crate) fn double(&mut self) -> Option<u64> {
        let (low, high) = (self.word()?, self.word()?);
        Some(u64::from(high) << 32 | u64::from(low))
    }

    pub(crate) fn handle(&mut self) -> Option<Handle> {
        self.word().map(Handle)
    }

    /// A whole command: its second word says how long it is.
    pub(crate) fn command(&mut self) -> Option<&'a [u8]> {
        let mut head = Self(self.0);
        head.word()?;
        let bytes = (head.word()? as usize).checked_mul(4)?;
        if bytes < 8 { None } else { self.take(bytes) }
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn padded(&mut self, length: usize) -> Option<&'a [u8]> {
        let whole = self.take(length.checked_next_multiple_of(4)?)?;
        whole.get(..length)
    }

    pub(crate) fn room_name(&mut self) -> Option<&'a [u8]> {
        let length = self.word()? as usize;
        if length > MAX_ROOM_NAME {
            None
        } else {
            self.padded(length)
        }
    }

    #[expect(
        clippy::option_option,
        reason = "outer: understood; inner: the envelope has a payload"
    )]
    pub(crate) fn payload(&mut self, length: u32) -> Option<Option<&'a [u8]>> {
        if length == NO_PAYLOAD {
            return Some(None);
        }
        let length = length as usize;
        if length > MAX_OUTGOING {
            None
        } else {
            self.padded(length).map(Some)
        }
    }
}

pub(crate) fn push(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_le_bytes());
}

pub(crate) fn push_length(out: &mut Vec<u8>, length: usize) {
    push(
        out,
        u32::try_from(length).expect("a command is under 4 GiB"),
    );
}

pub(crate) fn push_payload_length(out: &mut Vec<u8>, payload: Option<&[u8]>) {
    match payload {
        Some(payload) => push_length(out, payload.len()),
        None => push(out, NO_PAYLOAD),
    }
}

pub(crate) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    push_length(out, text.len());
    push_padded(out, text);
}

pub(crate) fn push_padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    pad(out);
}

/// Fills up to a whole word.
pub(crate) fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}
