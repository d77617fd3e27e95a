//! The trait for what a server does with upgrades and messages.

use std::borrow::Cow;

pub use tokio_tungstenite::tungstenite::Bytes;

use crate::message::error::BadCode;

/// A complete message as it came.
#[derive(Debug)]
pub enum Message<'a> {
    /// Text, already checked to be UTF-8. It is borrowed if all of it has arrived at once.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Bytes),
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// JSON text.
    #[default]
    Json,
    /// Bytes.
    Bytes,
}

/// The payload of an incoming message.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// JSON text, already checked to be JSON.
    Json(&'a str),
    /// Bytes. They are a part of the message, and can be kept without a copy.
    Bytes(&'a Bytes),
}

impl Payload<'_> {
    /// Its bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        match self {
            Self::Json(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// The way in which an upgrade is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Nobody: it is admitted at once.
    Immediate,
    /// The owner, with a command, once it has seen the event.
    Owner,
}

/// Handles upgrades and messages. One value serves all connections of a server.
pub trait Protocol: Send + Sync + 'static {
    /// Whether upgrades wait for the owner.
    fn admission(&self) -> Admission;
    /// One complete message of an open connection.
    fn message(&self, message: Message<'_>, exchange: &mut dyn Exchange);
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallRefused {
    /// A call with this `id` is open.
    InUse,
    /// There are as many as may be, or their payloads hold as much as they may.
    TooMany,
}

/// What a protocol may do about one message.
pub trait Exchange {
    /// Takes one from the rate of the sender.
    ///
    /// # Errors
    /// After how many nanoseconds there is one to take, if there is none.
    fn take(&mut self) -> Result<(), u64>;

    /// Undoes [`take`](Self::take).
    fn give_back(&mut self);

    /// Counts the message as received, as [`hand_over`](Self::hand_over) and [`refuse`](Self::refuse) do by themselves.
    fn count(&mut self);

    /// Tells the owner of a message for an incoming route, with its `id` if it is to hear when the handler is done. What the owner has not
    /// taken yet of one client is bounded: past that the client is not read.
    fn hand_over(&mut self, route: u32, id: Option<u64>, payload: Option<Payload<'_>>);

    /// Opens a call and tells the owner of it, like [`hand_over`](Self::hand_over).
    ///
    /// # Errors
    /// When the `id` is in use, or there are too many calls.
    fn call(
        &mut self,
        route: u32,
        id: u64,
        payload: Option<Payload<'_>>,
    ) -> Result<(), CallRefused>;

    /// Whether a call with this `id` is open.
    fn is_open(&self, id: u64) -> bool;

    /// Aborts an open call, and tells the owner. Passes over any other `id`.
    fn abort(&mut self, id: u64);

    /// Tells the owner that the client has taken so many more items of an open call. Passes over any other `id`.
    fn more(&mut self, id: u64, items: u64);

    /// Counts a message as refused, and tells the owner. `payload` is that of the `$error` which answers it.
    fn refuse(&mut self, code: BadCode, payload: &[u8]);

    /// Answers a `$ping`, if the client speaks the subprotocol that has it; whether it does.
    fn pong(&mut self) -> bool;

    /// Queues a whole frame for the sender of the message; `write` is called once at most, appends it and returns its length.
    fn reply(&mut self, write: &mut dyn FnMut(&mut Vec<u8>) -> usize);
}
