//! Decides which proxies in front are trusted. `forwarded` reads what they say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which proxies in front are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TrustProxy {
    /// None.
    #[default]
    Nobody,
    /// All of them, so that clients may claim any address.
    Everybody,
    /// So many, counted from this server on. Whoever connects is the first of them.
    Hops(u32),
    /// Those with these addresses. A Unix-domain socket counts as the address `127.0.0.1`.
    Networks(Vec<Network>),
}

/// A range of addresses. An IPv4 address is the same as the IPv6 address that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The bits that all of its addresses begin with; the others are 0.
    bits: u128,
    /// How many these are.
    length: u32,
}

/// Addresses of this machine.
const LOOPBACK: [Network; 2] = [
    Network::v4(Ipv4Addr::new(127, 0, 0, 0), 8),
    Network::v6(Ipv6Addr::LOCALHOST, 128),
];
/// Addresses that hold on one link alone.
const LINK_LOCAL: [Network; 2] = [
    Network::v4(Ipv4Addr::new(169, 254, 0, 0), 16),
    Network::v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
];
/// Addresses of private networks.
const UNIQUE_LOCAL: [Network; 4] = [
    Network::v4(Ipv4Addr::new(10, 0, 0, 0), 8),
    Network::v4(Ipv4Addr::new(172, 16, 0, 0), 12),
    Network::v4(Ipv4Addr::new(192, 168, 0, 0), 16),
    Network::v6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
];

impl Network {
    const fn v4(address: Ipv4Addr, length: u32) -> Self {
        Self::v6(address.to_ipv6_mapped(), 96 + length)
    }

    const fn v6(address: Ipv6Addr, length: u32) -> Self {
        Self {
            bits: address.to_bits() & mask(length),
            length,
        }
    }

    /// Reads an address, or a range such as `10.0.0.0/8`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address = address.parse().ok()?;
        let most = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let length = match length {
            // `u32::from_str` alone would take a leading `+`.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|length| *length <= most)?
            }
            Some(_) => return None,
            None => most,
        };
        match address {
            IpAddr::V4(address) => Some(Self::v4(address, length)),
            // Whoever writes `::ffff:10.0.0.0/8` does not mean every address there is.
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() && length < 96 => None,
            IpAddr::V6(address) => Some(Self::v6(address, length)),
        }
    }

    /// The ranges that a word stands for: `loopback`, `linklocal`, `uniquelocal`.
    #[must_use]
    pub fn named(word: &str) -> Option<&'static [Self]> {
        match word {
            "loopback" => Some(&LOOPBACK),
            "linklocal" => Some(&LINK_LOCAL),
            "uniquelocal" => Some(&UNIQUE_LOCAL),
            _ => None,
        }
    }

    /// Whether every IPv4 address is in it.
    fn is_whole(self) -> bool {
        self.length <= 96 && self.contains(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        address.to_bits() & mask(self.length) == self.bits
    }
}

/// The first bits, so many of them.
const fn mask(length: u32) -> u128 {
    match length {
        0 => 0,
        length => u128::MAX << (128 - length),
    }
}

impl TrustProxy {
    /// Whether clients choose the address that they are known by: anybody may say that it is a proxy.
    #[must_use]
    pub fn believes_everybody(&self) -> bool {
        match self {
            Self::Nobody | Self::Hops(_) => false,
            Self::Everybody => true,
            Self::Networks(networks) => networks.iter().any(|network| network.is_whole()),
        }
    }

    /// Whether the proxy with this address is believed; it is so many steps away from this server.
    pub(super) fn trusts(&self, address: Option<IpAddr>, hop: usize) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Hops(most) => u32::try_from(hop).is_ok_and(|hop| hop < *most),
            Self::Networks(networks) => {
                let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
                networks.iter().any(|network| network.contains(address))
            }
        }
    }
}

#[cfg(test)]
mod tests;
