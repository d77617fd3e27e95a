//! A socket that is listened on, of whichever kind.

use std::{io, net};

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

#[cfg(unix)]
use crate::transport::unix::{SocketFile, UnixBound};
use crate::transport::{peer::Peer, stream::Stream};

/// A listening socket that no runtime knows yet.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(net::TcpListener),
    #[cfg(unix)]
    Unix(UnixBound),
}

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    /// With its file, which goes first; see [`UnixBound`].
    #[cfg(unix)]
    Unix {
        _file: SocketFile,
        listener: UnixListener,
    },
}

impl Listener {
    /// # Errors
    /// When the runtime cannot watch one more socket.
    pub(crate) fn new(bound: Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            #[cfg(unix)]
            Bound::Unix(UnixBound { file, listener }) => Self::Unix {
                _file: file,
                listener: UnixListener::from_std(listener)?,
            },
        })
    }

    /// The next socket, and where it comes from.
    ///
    /// # Errors
    /// Those of one connection, and of a system without descriptors.
    ///
    /// # Cancel safety
    /// Safe: nothing is accepted before it returns.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Inet(peer)))
            }
            #[cfg(unix)]
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::Local))
            }
        }
    }
}
