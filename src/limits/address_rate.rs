//! Limits how often each address may do something per second, with a token bucket for each recent address.
//!
//! When a bucket is full again, the server forgets its address, because a full bucket says nothing. The buckets of one server take
//! at most 2.25 MiB. Past 65,536 addresses, the server lets a new address through. It gets no bucket until others are forgotten.

use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::limits::{addresses::Source, rate::Rate};

/// Addresses that are remembered.
const MOST: usize = 65_536;
/// With this many addresses, the server begins to look for those that it can forget.
const FEW: usize = 1024;
/// How long the server waits before it looks again, in nanoseconds, because a look at all of them takes time.
const PAUSE: u64 = 100_000_000;

/// The buckets of all addresses.
#[derive(Debug)]
pub(crate) struct AddressRates {
    rate: Rate,
    /// Held by a handshake when its request is complete.
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    /// When each is full again; see [`Rate`].
    full: FxHashMap<Source, u64>,
    /// How many addresses start the next look, and the earliest moment for it.
    sweep_at: usize,
    sweep_from: u64,
}

impl AddressRates {
    pub(crate) fn new(per_second: f64) -> Self {
        Self {
            rate: Rate::new(per_second),
            buckets: Mutex::new(Buckets {
                sweep_at: FEW,
                ..Buckets::default()
            }),
        }
    }

    /// Takes one from the bucket of an address. If the bucket is empty, returns after how many nanoseconds it has one.
    pub(crate) fn take(&self, source: Source, now: u64) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full) = buckets.full.get_mut(&source) {
            *full = self.rate.take(*full, now)?;
            return Ok(());
        }
        if buckets.full.len() >= buckets.sweep_at && now >= buckets.sweep_from {
            buckets.sweep(now);
        }
        if buckets.full.len() < MOST {
            let full = self.rate.take(now, now)?;
            buckets.full.insert(source, full);
        }
        Ok(())
    }

    /// Undoes a [`take`](Self::take).
    pub(crate) fn give_back(&self, source: Source) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full) = buckets.full.get_mut(&source) {
            *full = self.rate.give_back(*full);
        }
    }
}

impl Buckets {
    fn sweep(&mut self, now: u64) {
        self.full.retain(|_, full| *full > now);
        self.sweep_at = (2 * self.full.len()).clamp(FEW, MOST);
        self.sweep_from = now.saturating_add(PAUSE);
        self.full.shrink_to(self.sweep_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn source(number: u32) -> Source {
        std::net::IpAddr::from(number.to_be_bytes()).into()
    }

    fn remembered(rates: &AddressRates) -> usize {
        rates.buckets.lock().unwrap().full.len()
    }

    #[test]
    fn each_address_has_a_bucket_of_its_own() {
        let rates = AddressRates::new(2.0);
        for number in [1, 2] {
            assert_eq!(rates.take(source(number), 5), Ok(()));
            assert_eq!(rates.take(source(number), 5), Ok(()));
            assert_eq!(rates.take(source(number), 5), Err(SECOND / 2));
        }
        assert_eq!(rates.take(source(1), 5 + SECOND / 2), Ok(()));
        assert_eq!(rates.take(source(1), 5 + SECOND / 2), Err(SECOND / 2));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let rates = AddressRates::new(0.001);
        assert_eq!(rates.take(source(1), 5), Ok(()));
        rates.give_back(source(1));
        assert_eq!(rates.take(source(1), 5), Ok(()));
        assert!(rates.take(source(1), 5).is_err());
        rates.give_back(source(2));
    }

    #[test]
    fn an_address_is_forgotten_when_its_bucket_is_full() {
        let rates = AddressRates::new(1.0);
        let few = u32::try_from(FEW).unwrap();
        for number in 0..few {
            assert_eq!(rates.take(source(number), 0), Ok(()));
        }
        assert_eq!(rates.take(source(few), SECOND), Ok(()));
        assert_eq!(remembered(&rates), 1);
    }

    #[test]
    fn no_more_addresses_are_remembered_than_there_may_be_and_the_others_are_let_through() {
        let rates = AddressRates::new(0.001);
        let most = u32::try_from(MOST).unwrap();
        for number in 0..most + 5000 {
            assert_eq!(rates.take(source(number), u64::from(number)), Ok(()));
        }
        assert_eq!(remembered(&rates), MOST);
        let now = u64::from(most + 5000);
        assert!(rates.take(source(1), now).is_err());
        for _ in 0..3 {
            assert_eq!(rates.take(source(most + 1), now), Ok(()));
        }
        // A new address finds a place once others are full.
        let later = 2000 * SECOND;
        assert_eq!(rates.take(source(most + 1), later), Ok(()));
        assert!(rates.take(source(most + 1), later).is_err());
        assert_eq!(remembered(&rates), 1);
    }
}
