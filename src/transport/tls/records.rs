//! Follows the incomplete record (RFC 8446, 5.1), which rustls keeps until it is complete.

/// Type, version and length.
const HEADER: usize = 5;

/// Counts the bytes of an incomplete record as they pass.
#[derive(Debug, Default)]
pub(super) struct Records {
    header: [u8; HEADER],
    /// Bytes of the record that have come.
    come: usize,
}

impl Records {
    /// Bytes that have come of a record that is not complete.
    pub(super) fn incomplete(&self) -> usize {
        self.come
    }

    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.come < HEADER {
                let taken = bytes.len().min(HEADER - self.come);
                self.header[self.come..self.come + taken].copy_from_slice(&bytes[..taken]);
                self.come += taken;
                bytes = &bytes[taken..];
            }
            if self.come >= HEADER {
                let length =
                    HEADER + usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                let taken = bytes.len().min(length - self.come);
                self.come += taken;
                bytes = &bytes[taken..];
                if self.come == length {
                    self.come = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_followed_however_they_come() {
        let mut bytes = Vec::new();
        for length in [0_u16, 1, 300, 16_401, 0] {
            bytes.extend([23, 3, 3]);
            bytes.extend(length.to_be_bytes());
            bytes.resize(bytes.len() + usize::from(length), 22);
        }
        for step in [1, 2, 3, 5, 7, 4096, bytes.len()] {
            let mut records = Records::default();
            for part in bytes.chunks(step) {
                records.pass(part);
            }
            assert_eq!(records.incomplete(), 0);
            records.pass(&bytes[..5]);
            assert_eq!(records.incomplete(), 0);
            records.pass(&[23, 3, 3, 1]);
            assert_eq!(records.incomplete(), 4);
            records.pass(&[0, 9, 9]);
            assert_eq!(records.incomplete(), 7);
        }
    }
}
