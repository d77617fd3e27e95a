//! The client of a request, as the transport knows it. The request itself has not been read yet.

use std::{net::IpAddr, sync::Arc};

use crate::transport::peer::Peer;

/// The other end of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Where the socket comes from.
    pub peer: Peer,
    /// Whether the socket itself is encrypted.
    pub secure: bool,
    /// The certificate that the other end has proved to own, as PEM.
    pub certificate: Option<Arc<str>>,
}

impl Caller {
    /// Its address, an IPv4 one also where the socket takes both kinds and writes it as an IPv6 one; `None` if it has none.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.peer.ip().map(|ip| ip.to_canonical())
    }

    /// Its port; 0 if it has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self.peer {
            Peer::Inet(address) => address.port(),
            Peer::Local => 0,
        }
    }
}

/// Of a socket that is not encrypted, nothing else is known.
impl From<Peer> for Caller {
    fn from(peer: Peer) -> Self {
        Self {
            peer,
            secure: false,
            certificate: None,
        }
    }
}
