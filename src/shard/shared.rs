//! The state that the shards of one server share.

use std::sync::Arc;

#[cfg(feature = "tls")]
use crate::transport::tls::material::Current;
use crate::{
    border::{buffers::Buffers, mailbox::Mailbox, owner::Owners},
    config::Config,
    limits::{buffered::Buffered, capacity::Capacity, pending::PendingPlaces, rate::Rate},
    message::{protocol::Protocol, routes::Routes},
    metrics::Metrics,
    rooms::directory::RoomDirectory,
};

/// The state that the shards of one server share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) rooms: RoomDirectory,
    pub(crate) buffers: Buffers,
    pub(crate) buffered: Arc<Buffered>,
    /// Connections from their upgrade request until their sockets are closed.
    pub(crate) capacity: Arc<Capacity>,
    /// Sockets that are not connections yet.
    pub(crate) pending: Arc<PendingPlaces>,
    /// What new handshakes use, if the server speaks TLS.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<Current>>,
    /// The rate of a client's messages. Each connection has a bucket.
    pub(crate) message_rate: Option<Rate>,
    /// The moment from which buckets count.
    pub(crate) started: std::time::Instant,
    /// One a shard; the listener deals sockets into them.
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    pub(crate) metrics: Vec<Metrics>,
    /// Who takes the events.
    pub(crate) owners: Owners,
}

impl Shared {
    /// The time for buckets, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> u32 {
        u32::try_from(self.mailboxes.len()).unwrap_or(u32::MAX)
    }
}
