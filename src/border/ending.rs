//! How a connection ended, as its owner is told.

use crate::border::codes::ended;

/// The code that stands for a close frame without a code (RFC 6455 7.4.1).
const NO_CODE: u16 = 1005;
/// The code that stands for the end of a connection without a close frame.
const NO_CLOSE_FRAME: u16 = 1006;

/// Who ended a connection; see the codes in [`ended`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// Its client, with a close frame.
    Client,
    /// The server: its owner wanted it, or the client broke the protocol.
    Server,
    /// Nobody: the connection broke, or the client fell silent.
    Network,
    /// The server, because the client read too slowly.
    Slow,
    /// The server, because it stops.
    Stop,
}

impl EndedBy {
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Client => ended::CLIENT,
            Self::Server => ended::SERVER,
            Self::Network => ended::NETWORK,
            Self::Slow => ended::SLOW,
            Self::Stop => ended::STOP,
        }
    }
}

/// How a connection ended: the code and the reason are those of the first close frame that one of the sides sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Who ended it.
    pub by: EndedBy,
    /// The close code; 1005 if the frame had none, 1006 if there was no close frame.
    pub code: u16,
    /// The reason, often empty.
    pub reason: Box<str>,
}

impl Ending {
    /// One with a close frame.
    #[must_use]
    pub fn new(by: EndedBy, code: u16, reason: &str) -> Self {
        Self {
            by,
            code,
            reason: reason.into(),
        }
    }

    /// One by a client whose close frame has no code.
    pub(crate) fn without_code() -> Self {
        Self::new(EndedBy::Client, NO_CODE, "")
    }

    /// One without a close frame.
    pub(crate) fn without_frame(by: EndedBy) -> Self {
        Self::new(by, NO_CLOSE_FRAME, "")
    }
}
