//! A WebSocket engine. It runs connections, rooms and fan-out on its own I/O threads.
//!
//! The program that takes the engine's events and gives it commands is called the owner. A module uses only modules below it in
//! this table:
//!
//! | floor | owns |
//! |---|---|
//! | [`server`] | the public face: [`Server`] starts, [`ServerHandle`] takes events and hands in commands |
//! | `tasks` | everything that awaits: accepts, upgrades, reads, closes |
//! | `shard` | the state of one I/O thread, and all changes of it |
//! | `bus` | the messages between processes, over Redis or NATS |
//! | `connection` | the state of one socket: its outbox, its heartbeat, and whether the engine reads it |
//! | [`border`] | the border with the owner: events, commands, and the queues of both |
//! | `metrics` | counters |
//! | [`config`] | every limit and timeout of a server |
//! | `rooms` | the members of each room |
//! | `limits` | limits of clients, of addresses and of the whole server: rates, places and memory |
//! | [`message`] | the JSON envelope, the routes, and the way of an incoming message |
//! | [`handshake`] | the upgrade request and its refusals |
//! | `transport` | sockets |
//! | `frame` | the bytes of RFC 6455 |
//! | `sync` | locks and notifications, which tests replace with models |
//! | `shrink` | lists and maps that give memory back after a peak |
//! | `error` | the errors of a server that cannot start |
#![forbid(unsafe_code)]

#[cfg(all(feature = "bus", not(any(feature = "redis", feature = "nats"))))]
compile_error!("the feature `bus` is what `redis` and `nats` have in common: take one of these");

pub mod border;
#[cfg(feature = "bus")]
#[cfg_attr(
    not(all(feature = "redis", feature = "nats")),
    allow(dead_code, reason = "some of it is for one kind of bus")
)]
mod bus;
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

pub use border::act::{Act, Outcome};
pub use border::command::{Answer, Asks, Command, ErrorCode};
pub use border::ending::{EndedBy, Ending};
pub use border::event::{Event, EventSink, Head};
pub use border::handle::{ClientId, Handle, Process};
pub use border::inbox::Batch;
pub use border::mailbox::{Link, StopMode};
pub use border::writer::CommandWriter;
#[cfg(feature = "bus")]
pub use bus::books::BusSnapshot;
#[cfg(feature = "bus")]
#[doc(hidden)]
pub use bus::probe::BusProbe;
#[cfg(feature = "bus")]
pub use config::bus::{BusConfig, BusTls, Place, Transport};
#[cfg(feature = "redis")]
pub use config::bus::{Redis, Sentinels};
pub use config::{Compression, Config, Listen, SlowClient};
pub use error::{Error, Result};
pub use handshake::proxy::{Network, TrustProxy};
pub use handshake::refusal::Reason;
pub use handshake::rules::{AllowedOrigins, Rules};
pub use message::echo::Echo;
pub use message::incoming::EnvelopeProtocol;
pub use message::protocol::{Bytes, Kind, Payload, Protocol};
pub use message::routes::{Answers, RouteAnswers, RoutePolicy, Routes};
pub use metrics::{Count, Snapshot};
pub use rooms::MAX_ROOM_NAME;
pub use server::Server;
pub use server::handle::{EngineRef, Handed, OwnerStatus, ServerHandle};
#[cfg(unix)]
pub use transport::pair::pair;
#[cfg(feature = "tls")]
pub use transport::tls::{
    ClientCertificates, Identity, MinVersion, Tls, TlsCause, TlsFault, TlsOptions,
};
pub use transport::{pair::Door, peer::Peer, stream::StdStream};
