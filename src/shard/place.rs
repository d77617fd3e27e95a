//! Who may connect: places among the connections of the server and of an address, and the rate of upgrades.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Shard, Shared};
use crate::{
    handshake::refusal::{Reason, Refusal},
    limits::addresses::Source,
};

/// A connection's place under `max_connections` and `max_connections_per_address`. Given back when dropped, which must be
/// after the socket is closed.
pub(crate) struct Place {
    shared: Arc<Shared>,
    /// Counted only where the number is limited.
    source: Option<Source>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::SeqCst);
        if let Some(source) = self.source {
            self.shared.addresses.leave(source);
        }
    }
}

impl Shard {
    /// A place among the server's connections, if one is left. What is refused takes nothing from the rate.
    pub(crate) fn find_place(&self, peer: IpAddr) -> Result<Place, Refusal> {
        let (shared, config) = (&self.shared, self.config());
        let mut source = None;
        if let Some(limit) = config.max_connections_per_address {
            let from = peer.into();
            if !shared.addresses.enter(from, limit) {
                return Err(Refusal::new(429, Reason::Address));
            }
            source = Some(from);
        }
        let before = shared.connections.fetch_add(1, Ordering::SeqCst);
        // Dropping the place gives back what a full house counted.
        let place = Place {
            shared: shared.clone(),
            source,
        };
        if before >= config.max_connections.unwrap_or(usize::MAX) {
            return Err(Refusal::new(503, Reason::MaxConnections));
        }
        self.take_upgrade(peer.into())?;
        Ok(place)
    }

    /// Takes an upgrade from the rate of its address and from that of the server, or from neither.
    fn take_upgrade(&self, source: Source) -> Result<(), Refusal> {
        let (shared, now) = (&self.shared, self.shared.now());
        let of_address = shared.address_rates.as_ref();
        if let Some(Err(wait)) = of_address.map(|rates| rates.take(source, now)) {
            let refusal = Refusal::new(429, Reason::AddressRate);
            return Err(refusal.with_retry_after(Duration::from_nanos(wait)));
        }
        let upgrades = shared.upgrades.as_ref();
        if upgrades.is_some_and(|bucket| !bucket.take(now)) {
            if let Some(rates) = of_address {
                rates.give_back(source);
            }
            return Err(Refusal::new(503, Reason::UpgradeRate));
        }
        Ok(())
    }
}
