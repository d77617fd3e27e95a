//! Limits connections: gives seats among the connections of the server and of an address, and watches the rates of upgrades.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    handshake::refusal::{Reason, Refusal},
    limits::{
        address_rate::AddressRates,
        addresses::{Addresses, Source},
        rate::SharedBucket,
    },
};

/// The limits of a server; `None` is no limit.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// Connections at once.
    pub(crate) connections: Option<usize>,
    /// The same from one address.
    pub(crate) connections_per_address: Option<usize>,
    /// Upgrades a second.
    pub(crate) upgrades: Option<f64>,
    /// The same from one address.
    pub(crate) upgrades_per_address: Option<f64>,
}

/// The seats of a server.
pub(crate) struct Capacity {
    most: usize,
    /// Connections from their upgrade request until their sockets are closed.
    connections: AtomicUsize,
    most_per_address: Option<usize>,
    /// The same by address, where that is limited.
    addresses: Addresses,
    /// Where upgrades of one address are limited.
    address_rates: Option<AddressRates>,
    upgrades: Option<SharedBucket>,
}

impl Capacity {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            most: limits.connections.unwrap_or(usize::MAX),
            connections: AtomicUsize::new(0),
            most_per_address: limits.connections_per_address,
            addresses: Addresses::default(),
            address_rates: limits.upgrades_per_address.map(AddressRates::new),
            upgrades: limits.upgrades.map(SharedBucket::new),
        }
    }

    /// How many seats are taken.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A seat for a client, if one is left. A refused upgrade takes nothing from the rate. A client without an address is exempt
    /// from the limits of addresses. `now` is the time in nanoseconds, which is asked for only where a rate is limited.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        now: impl FnOnce() -> u64,
    ) -> Result<Seat, Refusal> {
        let mut source = None;
        if let (Some(limit), Some(address)) = (self.most_per_address, address) {
            let from = address.into();
            if !self.addresses.enter(from, limit) {
                return Err(Refusal::new(429, Reason::Address));
            }
            source = Some(from);
        }
        let before = self.connections.fetch_add(1, Ordering::SeqCst);
        // Dropping the seat gives back what a full house counted.
        let seat = Seat {
            capacity: self.clone(),
            source,
        };
        if before >= self.most {
            return Err(Refusal::new(503, Reason::MaxConnections));
        }
        if self.address_rates.is_some() || self.upgrades.is_some() {
            self.take_upgrade(address.map(Source::from), now())?;
        }
        Ok(seat)
    }

    /// Takes an upgrade from the rate of its address and from that of the server, or from neither.
    fn take_upgrade(&self, source: Option<Source>, now: u64) -> Result<(), Refusal> {
        let of_address = self.address_rates.as_ref().zip(source);
        if let Some(Err(wait)) = of_address.map(|(rates, source)| rates.take(source, now)) {
            let refusal = Refusal::new(429, Reason::AddressRate);
            return Err(refusal.with_retry_after(Duration::from_nanos(wait.max(1))));
        }
        let upgrades = self.upgrades.as_ref();
        if upgrades.is_some_and(|bucket| !bucket.take(now)) {
            if let Some((rates, source)) = of_address {
                rates.give_back(source);
            }
            return Err(Refusal::new(503, Reason::UpgradeRate));
        }
        Ok(())
    }
}

/// A connection's place under `max_connections` and `max_connections_per_address`. Given back when dropped, which must be
/// after the socket is closed.
pub(crate) struct Seat {
    capacity: Arc<Capacity>,
    /// Counted only where the number is limited.
    source: Option<Source>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.capacity.connections.fetch_sub(1, Ordering::SeqCst);
        if let Some(source) = self.source {
            self.capacity.addresses.leave(source);
        }
    }
}
