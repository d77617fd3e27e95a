//! The trait for what a server does with upgrades and messages.

use tokio_tungstenite::tungstenite::{Bytes, Utf8Bytes};

use crate::message::error::BadCode;

/// A complete message as it came.
#[derive(Debug)]
pub enum Message {
    /// Text, already checked to be UTF-8.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
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
    fn message(&self, message: Message, exchange: &mut dyn Exchange);
}

/// The steps that a protocol may take for one message.
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

    /// Passes a message for an incoming route to the owner. If too many messages of one client wait there, the engine stops reading
    /// the client.
    fn hand_over(&mut self, route: u32, payload: Option<&str>);

    /// Counts a message as refused, and tells the owner. `payload` is that of the `$error` which answers it.
    fn refuse(&mut self, code: BadCode, payload: &[u8]);

    /// Answers a `$ping`, if the client speaks the subprotocol that has it; whether it does.
    fn pong(&mut self) -> bool;

    /// Queues a whole frame for the sender of the message; `write` is called once at most, appends it and returns its length.
    fn reply(&mut self, write: &mut dyn FnMut(&mut Vec<u8>) -> usize);
}
