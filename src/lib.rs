//! WebSocket engine: connections, rooms and fan-out on I/O threads of its own.
//!
//! A module uses only what stands below it:
//!
//! | floor | owns |
//! |---|---|
//! | [`server`] | the public face: [`Server`] starts, [`ServerHandle`] takes events and hands in commands |
//! | `tasks` | all that awaits: accepts, upgrades, reads, closes |
//! | `shard` | the state of one I/O thread, and what is done with it |
//! | `connection` | the state of one socket: what waits to be written, and whether it is read |
//! | [`border`] | the only way out and the only way in: events, commands, and where both wait |
//! | `metrics` | counters |
//! | [`config`] | every limit and timeout of a server |
//! | `rooms` | who is in which room |
//! | `limits` | rates, places and memory, of clients, of addresses and of the whole server |
//! | [`message`] | the JSON wrapper, the routes, and what becomes of a message that has arrived |
//! | [`handshake`] | the upgrade request and its refusals |
//! | `transport` | sockets |
//! | `frame` | the bytes of RFC 6455 |
//! | `sync` | what threads share things with, and their models |
//! | `shrink` | memory of lists and maps that comes back after a peak |
//! | `error` | what can go wrong when a server starts |
#![forbid(unsafe_code)]

pub mod border;
pub mod config;
mod connection;
mod error;
mod frame;
pub mod handshake;
mod limits;
pub mod message;
mod metrics;
mod rooms;
pub mod server;
mod shard;
mod shrink;
mod sync;
mod tasks;
mod transport;

pub use border::command::Command;
pub use border::event::{Event, EventSink, Head};
pub use border::handle::{ClientId, Handle};
pub use border::inbox::Batch;
pub use border::mailbox::StopMode;
pub use border::writer::CommandWriter;
pub use config::{Config, SlowClient};
pub use error::{Error, Result};
pub use handshake::refusal::Reason;
pub use handshake::rules::{AllowedOrigins, Rules};
pub use message::echo::Echo;
pub use message::incoming::EnvelopeProtocol;
pub use message::protocol::Protocol;
pub use message::routes::{RoutePolicy, Routes};
pub use metrics::Snapshot;
pub use rooms::MAX_ROOM_NAME;
pub use server::{Server, ServerHandle};
pub use transport::peer::Peer;
