//! What a server does with upgrades and messages: a trait, and what it may do about one message.

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

/// Who decides about an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Nobody: it is admitted at once.
    Immediate,
    /// The owner, with a command, once it has seen the event.
    Owner,
}

/// What a connection hands upgrades and messages to. One value serves all connections of a server.
pub trait Protocol: Send + Sync + 'static {
    /// Whether upgrades wait for the owner.
    fn admission(&self) -> Admission;
    /// One complete message of an open connection.
    fn message(&self, message: Message, exchange: &mut dyn Exchange);
}

/// What a protocol may do about one message.
pub trait Exchange {
    /// Takes one from the rate of the sender.
    ///
    /// # Errors
    /// After how many nanoseconds there is one to take, if there is none.
    fn take(&mut self) -> Result<(), u64>;

    /// Tells the owner of a message for an incoming route. What it has not taken yet of one client is bounded: past that
    /// the client is not read.
    fn hand_over(&mut self, route: u32, payload: Option<&str>);

    /// Counts a message as refused, and tells the owner. `payload` is that of the `$error` which answers it.
    fn refuse(&mut self, code: BadCode, payload: &[u8]);

    /// Queues a whole frame for the sender of the message; `write` is called once at most, appends it and returns its length.
    fn reply(&mut self, write: &mut dyn FnMut(&mut Vec<u8>) -> usize);
}
