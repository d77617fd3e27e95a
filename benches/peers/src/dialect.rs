//! How the same application is spoken to over different libraries.

use crate::Fault;

/// The wrapping of payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `{"type":…,"payload":…}` both ways.
    Json,
    /// The same on the way out; a server without an application returns what it got.
    Raw,
    /// Engine.IO 4 with Socket.IO 5 over it: `42["name",payload]`.
    SocketIo,
}

impl Dialect {
    pub(crate) fn named(name: &str) -> Result<Self, Fault> {
        match name {
            "json" => Ok(Self::Json),
            "raw" => Ok(Self::Raw),
            "socketio" => Ok(Self::SocketIo),
            _ => Err(format!("no dialect named {name}").into()),
        }
    }

    /// What the upgrade request asks for.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Json | Self::Raw => "/",
            Self::SocketIo => "/socket.io/?EIO=4&transport=websocket",
        }
    }

    /// What stands before the payload of such a message.
    pub(crate) fn before(self, name: &str) -> String {
        match self {
            Self::Json | Self::Raw => format!("{{\"type\":\"{name}\",\"payload\":"),
            Self::SocketIo => format!("42[\"{name}\","),
        }
    }

    /// What stands after it.
    pub(crate) fn after(self) -> &'static str {
        match self {
            Self::Json | Self::Raw => "}",
            Self::SocketIo => "]",
        }
    }

    /// Name of the message that answers `echo`.
    pub(crate) fn answer(self) -> &'static str {
        match self {
            Self::Raw => "echo",
            Self::Json | Self::SocketIo => "echoed",
        }
    }

    /// What to do with a message that is no answer: it belongs to the library.
    pub(crate) fn own(self, text: &[u8]) -> Own {
        match (self, text) {
            (Self::SocketIo, [b'0', ..]) => Own::Reply(b"40"),
            (Self::SocketIo, b"2") => Own::Reply(b"3"),
            (Self::SocketIo, [b'4', b'0', ..]) => Own::Ready,
            _ => Own::No,
        }
    }
}

/// What a message means to the library's own protocol.
pub(crate) enum Own {
    /// Nothing: the application sent it.
    No,
    /// Answer with this text.
    Reply(&'static [u8]),
    /// The session is open.
    Ready,
}
