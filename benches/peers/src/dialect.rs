//! How the same application is spoken to over different libraries.

use crate::{Fault, message::FIRST};

/// The wrapping of payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `{"type":…,"payload":…}` both ways.
    Json,
    /// The same on the way out; a server without an application returns what it got.
    Raw,
    /// Engine.IO 4 with Socket.IO 5 over it: `42["name",payload]`.
    SocketIo,
    /// tRPC 11: calls and streams alone.
    Trpc,
    /// oRPC 1: calls and streams alone.
    Orpc,
    /// As [`Json`](Self::Json), but what is measured as a call is an echo: two messages that know nothing of each other.
    Send,
}

/// What stands around a payload. The number of a call stands there as [`FIRST`].
#[derive(Debug, Clone)]
pub(crate) struct Around {
    pub(crate) before: String,
    pub(crate) after: &'static str,
}

impl Around {
    fn new(before: impl Into<String>, after: &'static str) -> Self {
        Self {
            before: before.into(),
            after,
        }
    }
}

/// What is said about a stream, beside its items.
pub(crate) struct Streaming {
    /// Asks for it.
    pub(crate) ask: Around,
    /// Says that it begins, if the library does.
    pub(crate) started: Option<String>,
    pub(crate) item: Around,
    pub(crate) ended: String,
    /// Whether the reader says which items it has taken.
    pub(crate) has_credit: bool,
}

impl Dialect {
    pub(crate) fn named(name: &str) -> Result<Self, Fault> {
        match name {
            "json" => Ok(Self::Json),
            "raw" => Ok(Self::Raw),
            "socketio" => Ok(Self::SocketIo),
            "trpc" => Ok(Self::Trpc),
            "orpc" => Ok(Self::Orpc),
            "send" => Ok(Self::Send),
            _ => Err(format!("no dialect named {name}").into()),
        }
    }

    /// What the upgrade request asks for.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Json | Self::Raw | Self::Trpc | Self::Orpc | Self::Send => "/",
            Self::SocketIo => "/socket.io/?EIO=4&transport=websocket",
        }
    }

    /// Whether it has messages beside calls and streams.
    pub(crate) fn has_messages(self) -> bool {
        !matches!(self, Self::Trpc | Self::Orpc)
    }

    /// What stands around the payload of such a message.
    pub(crate) fn message(self, name: &str) -> Around {
        match self {
            Self::SocketIo => Around::new(format!("42[\"{name}\","), "]"),
            _ => Around::new(format!("{{\"type\":\"{name}\",\"payload\":"), "}"),
        }
    }

    /// Name of the message that answers `echo`.
    pub(crate) fn answer(self) -> &'static str {
        match self {
            Self::Raw => "echo",
            _ => "echoed",
        }
    }

    /// What stands around the payload of a call, and of its reply.
    pub(crate) fn call(self) -> (Around, Around) {
        match self {
            Self::Json | Self::Raw => (
                Around::new(format!(r#"{{"id":{FIRST},"type":"ask","payload":"#), "}"),
                Around::new(format!(r#"{{"type":"$reply","id":{FIRST},"payload":"#), "}"),
            ),
            Self::SocketIo => (
                Around::new(format!(r#"42{FIRST}["ask","#), "]"),
                Around::new(format!("43{FIRST}["), "]"),
            ),
            Self::Trpc => (
                Self::trpc("mutation", "ask"),
                Around::new(
                    format!(r#"{{"id":{FIRST},"result":{{"type":"data","data":"#),
                    "}}",
                ),
            ),
            Self::Orpc => (
                Self::orpc("ask"),
                Around::new(format!(r#"{{"i":"{FIRST}","p":{{"b":{{"json":"#), "}}}"),
            ),
            Self::Send => (self.message("echo"), self.message(self.answer())),
        }
    }

    /// How a stream goes; `None` if the library, or the application on it, has none.
    pub(crate) fn stream(self) -> Option<Streaming> {
        match self {
            Self::Json => Some(Streaming {
                ask: Around::new(format!(r#"{{"id":{FIRST},"type":"count","payload":"#), "}"),
                started: None,
                item: Around::new(format!(r#"{{"type":"$item","id":{FIRST},"payload":"#), "}"),
                ended: format!(r#"{{"type":"$end","id":{FIRST}}}"#),
                has_credit: true,
            }),
            Self::Trpc => Some(Streaming {
                ask: Self::trpc("subscription", "count"),
                started: Some(format!(r#"{{"id":{FIRST},"result":{{"type":"started"}}}}"#)),
                item: self.call().1,
                ended: format!(r#"{{"id":{FIRST},"result":{{"type":"stopped"}}}}"#),
                has_credit: false,
            }),
            Self::Orpc => Some(Streaming {
                ask: Self::orpc("count"),
                started: Some(format!(
                    r#"{{"i":"{FIRST}","p":{{"h":{{"content-type":"text/event-stream"}}}}}}"#
                )),
                item: Around::new(
                    format!(r#"{{"i":"{FIRST}","t":3,"p":{{"e":"message","d":{{"json":"#),
                    "}}}",
                ),
                ended: format!(r#"{{"i":"{FIRST}","t":3,"p":{{"e":"done","d":{{}}}}}}"#),
                has_credit: false,
            }),
            Self::Raw | Self::SocketIo | Self::Send => None,
        }
    }

    fn trpc(method: &str, path: &str) -> Around {
        let head = format!(r#"{{"id":{FIRST},"method":"{method}","params":{{"path":"{path}","#);
        Around::new(head + r#""input":"#, "}}")
    }

    fn orpc(path: &str) -> Around {
        let head = format!(r#"{{"i":"{FIRST}","p":{{"u":"/{path}","b":{{"json":"#);
        Around::new(head, "}}}")
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
