//! WebSocket engine: connections, rooms and fan-out on I/O threads of its own.
//!
//! | module | owns |
//! |---|---|
//! | [`server`] | the public face: [`Server`] starts, [`ServerHandle`] takes events and hands in commands |
//! | [`event`], [`command`] | the only way out and the only way in, with their forms on the border |
//! | [`config`] | every limit and timeout |
//! | [`protocol`] | what connections do with messages: our envelope, or a raw echo |
//! | [`envelope`], [`escape`], [`routes`] | the JSON wrapper, text in it, and the route names |
//! | [`handshake`] | the upgrade request and its refusals |
//! | `upgrade` | one socket from accept to the 101 |
//! | `connection`, `outbox` | one connection as its shard sees it, what waits to be written |
//! | `session`, `transport` | its task: reading and closing, and the messages in what arrives |
//! | `shard`, `fan_out`, `registry`, `heartbeat` | one I/O thread, what it does with commands, who is in which room, who is silent |
//! | `inbox`, `mailbox` | what waits for the owner, what waits for a shard |
//! | `sync` | what threads share things with, and its models |
//! | `listener` | the accept loop |
//! | `bad` | bad messages as counts |
//! | `weight` | what JSON takes once it is parsed |
//! | `metrics`, `buffered` | counters, and what is held for all clients together |
#![forbid(unsafe_code)]

mod address_rate;
mod addresses;
mod bad;
mod buffered;
mod buffers;
pub mod command;
pub mod config;
mod connection;
mod drain;
pub mod envelope;
mod error;
pub mod escape;
pub mod event;
mod fan_out;
pub mod handshake;
mod heartbeat;
mod id;
mod inbox;
mod listener;
mod mailbox;
mod metrics;
mod outbox;
mod pending;
pub mod protocol;
mod rate;
mod registry;
pub mod routes;
pub mod server;
mod session;
mod shard;
mod shrink;
mod sync;
mod transport;
mod upgrade;
mod weight;

pub use command::{Command, CommandWriter};
pub use config::{Config, SlowClient};
pub use error::{Error, Result};
pub use event::{Event, EventSink, Head};
pub use handshake::{AllowedOrigins, Reason, Rules};
pub use id::{ClientId, Handle, MAX_ROOM_NAME};
pub use inbox::{BATCH_EVENTS, Batch};
pub use mailbox::StopMode;
pub use metrics::Snapshot;
pub use protocol::{Echo, EnvelopeProtocol, Protocol};
pub use routes::{RoutePolicy, Routes};
pub use server::{Server, ServerHandle};
