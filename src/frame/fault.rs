//! The faults in a client's frames, with their close codes.

/// A fault of a client, which ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A header breaks the protocol.
    Protocol,
    /// A message would be larger than allowed.
    TooLarge,
    /// A text message is not UTF-8.
    NotUtf8,
    /// A compressed message cannot be read.
    NotDeflate,
}

impl Fault {
    /// The close code RFC 6455 7.4.1 gives, and the reason.
    pub(crate) fn close_code(self) -> (u16, &'static str) {
        match self {
            Self::Protocol => (1002, "protocol error"),
            Self::TooLarge => (1009, "message too large"),
            Self::NotUtf8 => (1007, "invalid UTF-8"),
            Self::NotDeflate => (1007, "invalid compressed data"),
        }
    }
}
