//! Node.js binding of the [`zocket`] engine: converts and forwards, nothing else.

mod bus;
mod check;
mod codes;
mod compression;
mod create;
mod error;
mod events;
mod fields;
mod listen;
mod memory;
mod metrics;
mod names;
mod object;
mod options;
mod orders;
mod policy;
mod server;
mod shares;
mod sockets;
#[cfg(feature = "tls")]
mod tls;
