//! Where a socket comes from.

use std::net::{IpAddr, SocketAddr};

/// Where a socket comes from. Kept from the start, as a socket whose peer has left cannot tell any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An address of the network.
    Inet(SocketAddr),
    /// The same machine, through a Unix-domain socket: there is no address.
    Local,
}

impl Peer {
    /// Its address; `None` if it has none.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip()),
            Self::Local => None,
        }
    }
}
