//! The close frame of a client (RFC 6455 5.5.1).

use crate::frame::{MAX_CONTROL, fault::Fault};

/// The payload of a close frame, as far as it has come.
#[derive(Debug)]
pub(crate) struct Closing {
    bytes: [u8; MAX_CONTROL],
    length: usize,
}

impl Default for Closing {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_CONTROL],
            length: 0,
        }
    }
}

impl Closing {
    /// Appends what has come. The header has said that all of it fits.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.bytes[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }

    /// The code and the reason; `None` if the frame is empty.
    ///
    /// # Errors
    /// When there is half a code, or the reason is no UTF-8.
    pub(crate) fn read(&self) -> Result<Option<(u16, &str)>, Fault> {
        match self.bytes[..self.length].split_first_chunk() {
            Some((code, reason)) => {
                let reason = str::from_utf8(reason).map_err(|_| Fault::NotUtf8)?;
                Ok(Some((u16::from_be_bytes(*code), reason)))
            }
            None if self.length == 0 => Ok(None),
            None => Err(Fault::Protocol),
        }
    }
}

/// Whether a client may send this code (RFC 6455 7.4). IANA has registered 1012 to 1014 since.
pub(crate) fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
