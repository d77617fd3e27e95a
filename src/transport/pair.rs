//! Two sockets that are connected with each other: one for the engine, the other for an owner that moves the bytes of a client
//! which the engine cannot read itself.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use crate::transport::stream::StdStream;

/// Strangers that may come in before the one who is expected.
const MOST_STRANGERS: u32 = 64;

/// Both ends, the engine's first.
///
/// # Errors
/// When the system has no descriptors left.
#[cfg(unix)]
pub fn pair() -> io::Result<(StdStream, std::os::fd::OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    theirs.set_nonblocking(true)?;
    Ok((StdStream::Unix(ours), theirs.into()))
}

/// The same where there are no such pairs: a listener that takes one connection of this process.
#[derive(Debug)]
pub struct Door(TcpListener);

impl Door {
    /// Listens on a free port of the loopback address.
    ///
    /// # Errors
    /// When the system has no descriptors or ports left.
    pub fn open() -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// The port to connect to.
    ///
    /// # Errors
    /// Those of the system.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.0.local_addr()?.port())
    }

    /// The engine's end of the connection that was made from this port. Any process of this machine can connect, so all others
    /// are closed.
    ///
    /// # Errors
    /// When there is no such connection.
    pub fn take(self, port: u16) -> io::Result<StdStream> {
        let expected = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for _ in 0..MOST_STRANGERS {
            let (stream, from) = self.0.accept()?;
            if from == expected {
                return Ok(StdStream::Tcp(stream));
            }
        }
        Err(io::ErrorKind::NotConnected.into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_door_lets_in_who_is_expected_and_nobody_else() {
        let door = Door::open().unwrap();
        let port = door.port().unwrap();
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (_stranger, friend) = (connect(), connect());
        let expected = friend.local_addr().unwrap();
        let StdStream::Tcp(stream) = door.take(expected.port()).unwrap() else {
            panic!("a loopback connection is TCP");
        };
        assert_eq!(stream.peer_addr().unwrap(), expected);
    }
}
