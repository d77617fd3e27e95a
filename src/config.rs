//! Every limit and timeout of a server, with unit, default and trade-off.

#[cfg(feature = "bus")]
pub mod bus;

use std::{
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    error::{Error, Result},
    frame::deflate::Window,
    handshake::rules::Rules,
};

/// The treatment of a client that reads more slowly than the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlowClient {
    /// The connection is cut, so the client can come back and start afresh.
    #[default]
    Disconnect,
    /// Further messages for it are dropped and counted until it has caught up.
    Drop,
}

/// How messages are compressed for clients that can read it (permessage-deflate, RFC 7692).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// Bytes that a message has at least before it is compressed. Default 1,024.
    pub threshold: usize,
    /// 1 is the fastest, 9 makes the shortest messages. Default 6.
    pub level: u8,
    /// The largest window, in bits, 9 to 15. A smaller one needs less memory, and makes long messages longer. Default 15.
    pub max_window_bits: u8,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            threshold: 1024,
            level: 6,
            max_window_bits: 15,
        }
    }
}

/// Where a server gets its connections from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Listen {
    /// It listens on `hostname` and `port`.
    #[default]
    Port,
    /// The same, and other processes of the same user may do so too; the system deals connections among them. On Linux only.
    SharedPort,
    /// It listens on a Unix-domain socket with this path. On Windows this fails.
    Path(PathBuf),
    /// It does not listen: [`ServerHandle::serve`](crate::ServerHandle::serve) gives it all its connections.
    Nowhere,
}

/// Longest path of a Unix-domain socket, in bytes: the system keeps it, and a zero, in a field of fixed size.
pub const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// How a server listens, and its limits.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where connections come from. Default [`Listen::Port`].
    pub listen: Listen,
    /// Host name or address to listen on; `None` is all interfaces, IPv6 and IPv4.
    pub hostname: Option<String>,
    /// TCP port; 0 asks the system for any free one. Default 3000.
    pub port: u16,
    /// TLS for all connections. Default none.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::Tls>,
    /// The bus that joins it with servers of other processes. Default none.
    #[cfg(feature = "bus")]
    pub bus: Option<bus::BusConfig>,
    /// Which upgrade requests are let through to the owner.
    pub rules: Rules,
    /// Bytes of one incoming message; a larger one closes the connection with 1009. Default 1 MiB.
    pub max_payload: usize,
    /// Bytes that may wait for one client before [`SlowClient`] applies to the next message. Their bookkeeping counts
    /// too. One message of each [`Latest`](crate::RoutePolicy::Latest) route may wait besides. Default 1 MiB.
    pub max_backpressure: usize,
    /// Bytes that all connections together may hold, in inboxes, incomplete messages and outboxes. Past it, the engine stops
    /// reading the connections that hold the most, and sends nothing more to them once their sockets are full. It cuts them off
    /// after a second. The inboxes get at most a quarter. Default 1 GiB, because the engine does not know the machine.
    pub max_buffered_bytes: usize,
    /// The treatment of a client past `max_backpressure`, if the route of the message has no
    /// [policy](crate::RoutePolicy).
    pub slow_client: SlowClient,
    /// Compresses messages; `None` turns it off. Incoming messages may be compressed then, too, and `max_payload` is what they
    /// may have once they are inflated. Default off.
    pub compression: Option<Compression>,
    /// Silence before a ping; twice this without a byte ends the connection. `None` turns it off. Default 30 s.
    pub heartbeat_interval: Option<Duration>,
    /// From TCP accept to the 101, the owner's admission included. Default 10 s.
    pub handshake_timeout: Duration,
    /// Connections at once, pending upgrades included; further ones get 503. Default none.
    pub max_connections: Option<usize>,
    /// Connections at once from one address, pending upgrades included; further ones get 429. IPv6 addresses count by
    /// their first 64 bits. Behind a proxy all clients have its address. Default none.
    pub max_connections_per_address: Option<usize>,
    /// Upgrades a second from one address, with bursts of one second's worth; further ones get 429 and take nothing from
    /// `max_upgrades_per_second`. Default none.
    pub max_upgrades_per_second_per_address: Option<f64>,
    /// Upgrades a second, with bursts of one second's worth; further ones get 503 before the owner hears of them.
    /// Default none.
    pub max_upgrades_per_second: Option<f64>,
    /// Messages a second of one client, with bursts of one second's worth; further ones get a `$error`. Default none.
    pub max_messages_per_second: Option<f64>,
    /// Calls of one client that the owner may be busy with before it takes the next. Kept to by the owner. Default 256.
    pub max_handlers_in_flight: u32,
    /// How many calls of one client may be open.
    pub max_calls_per_client: u32,
    /// Rooms one client may be in: each costs memory on both sides. Kept to by the owner. Default 1,000.
    pub max_rooms_per_client: u32,
    /// Other owners may come, and [share](crate::ServerHandle::share) the engine. Default false.
    pub is_shared: bool,
    /// Threads for WebSocket I/O. Default: one a core, at most 4.
    pub io_threads: usize,
    /// Sockets at once that are not connections yet. Past it, the server drops incomplete requests: first the oldest of the
    /// address that has the most. If all requests are complete, it accepts nothing, and further clients wait in the system's
    /// backlog. Default 4,096, or a quarter of `max_connections` if that is given, at least 64.
    pub max_pending_handshakes: Option<usize>,
    /// Bytes of events one I/O thread keeps for a slow owner before it stops reading. Default 4 MiB.
    pub max_inbox: usize,
    /// Time a stopping server gives clients for the closing handshake. Default 5 s.
    pub close_timeout: Duration,
}

/// Largest number of I/O threads that can be asked for.
pub const MAX_IO_THREADS: usize = 256;

/// Lowest rate that can be asked for, one in about 17 minutes, and highest: beyond it a nanosecond is too coarse.
pub const RATES: RangeInclusive<f64> = 0.001..=1_000_000.0;

/// Largest `max_rooms_per_client`: V8's sets hold no more.
pub const MAX_ROOMS: u32 = 1 << 24;

/// Largest `max_payload`: V8 cannot hold a longer string than about twice this.
pub const MAX_PAYLOAD: usize = 256 * 1024 * 1024;

/// Smallest `max_buffered_bytes`.
pub const MIN_BUFFERED_BYTES: usize = 1024 * 1024;

fn is_socket_path(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    (1..=MAX_SOCKET_PATH).contains(&bytes.len()) && !bytes.contains(&0)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            hostname: None,
            port: 3000,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "bus")]
            bus: None,
            rules: Rules::default(),
            max_payload: 1024 * 1024,
            max_backpressure: 1024 * 1024,
            max_buffered_bytes: 1024 * 1024 * 1024,
            slow_client: SlowClient::default(),
            compression: None,
            heartbeat_interval: Some(Duration::from_secs(30)),
            handshake_timeout: Duration::from_secs(10),
            max_connections: None,
            max_connections_per_address: None,
            max_upgrades_per_second_per_address: None,
            max_upgrades_per_second: None,
            max_messages_per_second: None,
            max_handlers_in_flight: 256,
            max_calls_per_client: 256,
            max_rooms_per_client: 1_000,
            is_shared: false,
            io_threads: thread::available_parallelism()
                .map_or(1, NonZeroUsize::get)
                .min(4),
            max_pending_handshakes: None,
            max_inbox: 4 * 1024 * 1024,
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// How many sockets may be open that are not connections yet.
    #[must_use]
    pub fn pending_places(&self) -> usize {
        self.max_pending_handshakes
            .or_else(|| self.max_connections.map(|most| (most / 4).max(64)))
            .unwrap_or(4096)
    }

    /// Refuses limits that no server could work with.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is out of range.
    pub fn check(&self) -> Result<()> {
        let wrong = |field, expected| Err(Error::Config { field, expected });
        if let Listen::Path(path) = &self.listen
            && !is_socket_path(path)
        {
            return wrong(
                "listen",
                "a path of 1 to 107 bytes, 103 outside Linux, without a zero",
            );
        }
        if self.max_payload == 0 || self.max_payload > MAX_PAYLOAD {
            return wrong("max_payload", "1 to 268435456 bytes");
        }
        if self.max_buffered_bytes < MIN_BUFFERED_BYTES {
            return wrong("max_buffered_bytes", "at least 1048576 bytes");
        }
        if self.io_threads == 0 || self.io_threads > MAX_IO_THREADS {
            return wrong("io_threads", "1 to 256");
        }
        let is_rate = |rate: Option<f64>| rate.is_none_or(|rate| RATES.contains(&rate));
        if !is_rate(self.max_upgrades_per_second) {
            return wrong("max_upgrades_per_second", "0.001 to 1000000");
        }
        if !is_rate(self.max_upgrades_per_second_per_address) {
            return wrong("max_upgrades_per_second_per_address", "0.001 to 1000000");
        }
        if !is_rate(self.max_messages_per_second) {
            return wrong("max_messages_per_second", "0.001 to 1000000");
        }
        if self.max_pending_handshakes == Some(0) {
            return wrong("max_pending_handshakes", "at least 1");
        }
        if let Some(compression) = &self.compression {
            if !cfg!(feature = "deflate") {
                return wrong("compression", "none, as the feature `deflate` is off");
            }
            if !(1..=9).contains(&compression.level) {
                return wrong("compression.level", "1 to 9");
            }
            if Window::new(compression.max_window_bits).is_none() {
                return wrong("compression.max_window_bits", "9 to 15");
            }
        }
        if self.handshake_timeout.is_zero() {
            return wrong("handshake_timeout", "longer than zero");
        }
        if self
            .heartbeat_interval
            .is_some_and(|interval| interval.is_zero())
        {
            return wrong("heartbeat_interval", "longer than zero");
        }
        Ok(())
    }
}
