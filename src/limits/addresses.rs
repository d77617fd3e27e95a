//! Counts the connections of each address, over all shards.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustc_hash::FxHashMap;

use crate::shrink::shrink_map;

/// One client for the limits. It is an IPv4 address, also if written as IPv6, or the first half of an IPv6 address, because a
/// provider gives each customer that half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Source(u64);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            // `ffff::` is a multicast prefix, from which nobody connects.
            IpAddr::V4(address) => Self(0xffff_ffff_0000_0000 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }
}

impl Source {
    /// The source of an address. All clients without an address are one source.
    pub(crate) fn of(address: Option<IpAddr>) -> Self {
        // Of the same prefix as IPv4 addresses, and none of them.
        address.map_or(Self(0xffff_0000_0000_0000), Self::from)
    }
}

/// Counts connections by source. A source without one takes no memory.
///
/// Touched only when a connection comes or ends, and only where the number is limited.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    counts: Mutex<FxHashMap<Source, usize>>,
}

impl Addresses {
    /// Counts one more, unless there are `limit` already.
    pub(crate) fn enter(&self, source: Source, limit: usize) -> bool {
        let mut counts = self.lock();
        let count = counts.get(&source).copied().unwrap_or_default();
        if count >= limit {
            return false;
        }
        counts.insert(source, count + 1);
        true
    }

    /// Takes back what [`enter`](Self::enter) counted.
    pub(crate) fn leave(&self, source: Source) {
        let mut counts = self.lock();
        match counts.get_mut(&source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&source);
            }
        }
        shrink_map(&mut counts);
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<Source, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn an_ipv4_address_is_the_same_however_it_is_written() {
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        // Neither the loopback address nor one whose prefix looks like it.
        assert_ne!(source("0.0.0.0"), source("::1"));
        assert_ne!(source("192.0.2.1"), source("::c000:201:0:0:0:1"));
    }

    #[test]
    fn ipv6_addresses_count_by_their_first_half() {
        assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff::2"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
    }

    #[test]
    fn a_source_without_a_connection_is_forgotten() {
        let addresses = Addresses::default();
        let (a, b) = (source("192.0.2.1"), source("192.0.2.2"));
        assert!(addresses.enter(a, 2) && addresses.enter(a, 2) && addresses.enter(b, 2));
        assert!(!addresses.enter(a, 2));
        addresses.leave(a);
        assert!(addresses.enter(a, 2));
        for source in [a, a, b] {
            addresses.leave(source);
        }
        assert!(addresses.lock().is_empty());
    }

    #[test]
    fn what_a_crowd_of_addresses_needed_comes_back_while_one_stays() {
        let addresses = Addresses::default();
        let crowd: Vec<_> = (0..10_000).map(|n| Source(n << 16)).collect();
        for &source in &crowd {
            assert!(addresses.enter(source, 1));
        }
        for &source in &crowd[1..] {
            addresses.leave(source);
        }
        assert!(addresses.lock().capacity() < 200);
        assert!(!addresses.enter(crowd[0], 1));
    }
}
