//! The state that the shards of one server share.

use std::sync::Arc;

#[cfg(feature = "bus")]
use crate::bus::Bus;
#[cfg(feature = "tls")]
use crate::transport::tls::material::Current;
use crate::{
    border::{
        buffers::Buffers,
        handle::ClientId,
        mailbox::Mailbox,
        orders::Orders,
        owner::{OwnerNumber, Owners},
    },
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
    pub(crate) rooms: Arc<RoomDirectory>,
    pub(crate) buffers: Arc<Buffers>,
    #[cfg(feature = "bus")]
    pub(crate) bus: Option<Bus>,
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
    /// Orders about clients of other owners and processes.
    pub(crate) orders: Arc<Orders>,
    /// Who takes the events.
    pub(crate) owners: Arc<Owners>,
}

#[cfg_attr(
    not(feature = "bus"),
    expect(clippy::unused_self, reason = "the bus is a feature")
)]
impl Shared {
    /// The time for buckets, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether the server has a bus.
    pub(crate) fn has_bus(&self) -> bool {
        #[cfg(feature = "bus")]
        let has_bus = self.bus.is_some();
        #[cfg(not(feature = "bus"))]
        let has_bus = false;
        has_bus
    }

    /// An id for a new client. With a bus it tells whose client it is.
    pub(crate) fn new_id(&self) -> ClientId {
        #[cfg(feature = "bus")]
        if let Some(bus) = &self.bus {
            return bus.new_id();
        }
        ClientId::random()
    }

    /// A shard has applied all commands of an owner before a mark.
    pub(crate) fn reach(&self, owner: OwnerNumber, mark: u32) {
        let mark = (owner.raw(), mark);
        #[cfg(feature = "bus")]
        if let Some(bus) = &self.bus {
            bus.changes.reach(mark, self.shards());
        }
        #[cfg(not(feature = "bus"))]
        let _ = mark;
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> u32 {
        u32::try_from(self.mailboxes.len()).unwrap_or(u32::MAX)
    }
}
